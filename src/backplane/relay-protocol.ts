/** Marks our messages among those of the application. */
export const RELAY_MARK = 'websocket-context:backplane';

/** A message on its way. Data is base64, which every serialization keeps. */
export interface Relayed {
  readonly channel: string;
  readonly data: string;
}

/** From a worker to the relay. `from` is one of the drivers there. */
export type RelayRequest = { readonly type: typeof RELAY_MARK; readonly from: string } & (
  | { readonly does: 'open' | 'close' }
  | { readonly does: 'subscribe' | 'unsubscribe'; readonly channel: string }
  | { readonly does: 'publish'; readonly messages: readonly Relayed[] }
);

/** From the relay to a worker. `to` is one of the drivers there; the others are for all of them. */
export type RelayReport = { readonly type: typeof RELAY_MARK } & (
  | { readonly says: 'here' | 'lost' | 'ended' }
  | { readonly says: 'opened'; readonly to: string }
  | { readonly says: 'subscribed'; readonly to: string; readonly channel: string }
  | { readonly says: 'published'; readonly to: string; readonly messages: readonly Relayed[] }
);

/** Whether a message of a worker is for the relay. */
export function isRelayRequest(message: unknown): message is RelayRequest {
  return isOurs(message) && 'does' in message;
}

/** Whether a message of the primary comes from its relay. */
export function isRelayReport(message: unknown): message is RelayReport {
  return isOurs(message) && 'says' in message;
}

function isOurs(message: unknown): message is object {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === RELAY_MARK;
}
