/** Codes after which trying again is of no use: the server has said what it had to say, or does not want us. */
const isFinal = (code: number) => code === 1000 || code === 1008 || (code >= 4400 && code < 4500 && code !== 4429);

/** A connection that comes back: backs off between attempts, and keeps what is sent meanwhile, up to a bound. */
export function connect(url: string, onMessage: (data: string) => void, onEnd: (code: number) => void) {
  const unsent: string[] = [];
  let attempts = 0;
  let closed = false;
  let socket: WebSocket;
  open();

  function open(): void {
    const opened = new WebSocket(url);
    let since = Number.POSITIVE_INFINITY;
    socket = opened;
    opened.onopen = () => {
      since = Date.now();
      for (const message of unsent.splice(0)) opened.send(message);
    };
    opened.onmessage = ({ data }) => onMessage(data);
    opened.onerror = () => {}; // 'close' follows
    opened.onclose = ({ code }) => {
      if (closed || isFinal(code)) return onEnd(code);
      if (Date.now() - since > 5000) attempts = 0; // it has held, so begin with short waits again
      const delay = Math.min(30_000, 500 * 2 ** attempts++) * (0.5 + Math.random() / 2); // not all at once
      setTimeout(() => (closed ? onEnd(code) : open()), delay);
    };
  }

  return {
    send(message: string): void {
      if (socket.readyState === 1) socket.send(message);
      else if (unsent.push(message) > 100) unsent.shift();
    },
    close(): void {
      closed = true;
      socket.close(1000);
    },
  };
}
