import { type Enumeration, enumeration, type MemberOf } from '../enumeration.js';

/** States of a connection, with the numbers of `System.Net.WebSockets.WebSocketState`. */
export const WebSocketState: Enumeration<{
  None: 0;
  Connecting: 1;
  Open: 2;
  CloseSent: 3;
  CloseReceived: 4;
  Closed: 5;
  Aborted: 6;
}> = enumeration({ None: 0, Connecting: 1, Open: 2, CloseSent: 3, CloseReceived: 4, Closed: 5, Aborted: 6 });

/** A member of {@link WebSocketState}: its number. `WebSocketState[number]` is its name. */
export type WebSocketState = MemberOf<typeof WebSocketState>;

/** Name of a state, for error messages. */
export function stateName(state: WebSocketState): string {
  return WebSocketState[state];
}

/** What can happen to a connection that moves its state. */
export type StateEvent = 'closeSent' | 'closeReceived' | 'aborted';

const { Open, CloseSent, CloseReceived, Closed, Aborted } = WebSocketState;

/** Every allowed transition. What is not in the table leaves the state as it is. */
const transitions: Readonly<Record<StateEvent, Readonly<Partial<Record<WebSocketState, WebSocketState>>>>> = {
  closeSent: { [Open]: CloseSent, [CloseReceived]: Closed },
  closeReceived: { [Open]: CloseReceived, [CloseSent]: Closed },
  aborted: { [Open]: Aborted, [CloseSent]: Aborted, [CloseReceived]: Aborted },
};

/** The state after `event`; the same one where the event changes nothing. */
export function nextState(state: WebSocketState, event: StateEvent): WebSocketState {
  return transitions[event][state] ?? state;
}

/** Closed or Aborted: nothing follows. */
export function isTerminal(state: WebSocketState): boolean {
  return state >= Closed;
}

/** Whether our half of the connection is still open. */
export function canSend(state: WebSocketState): boolean {
  return state === Open || state === CloseReceived;
}
