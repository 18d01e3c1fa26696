import { inspect } from 'node:util';
import type { BackplaneStatus } from './driver.js';

/** The option `onBackplane`. */
type OnBackplane = (status: BackplaneStatus, error: Error | undefined) => unknown;

/** Tells the application of a status. A function of its that fails has nobody above it; the process is not to end for it. */
export async function reportStatus(
  onBackplane: OnBackplane | undefined,
  status: BackplaneStatus,
  error: Error | undefined,
): Promise<void> {
  try {
    if (onBackplane !== undefined) await onBackplane(status, error);
    else if (status === 'interrupted')
      warn(`The backplane is interrupted: ${error?.message ?? 'the cause is not known'}`);
  } catch (thrown) {
    warn(`The onBackplane option of webSockets() failed: ${inspect(thrown)}`);
  }
}

function warn(text: string): void {
  process.emitWarning(text, 'WebSocketBackplaneWarning');
}
