import { connect } from 'node:net';

// The members: they take what comes and count its bytes. Told what to do by the messages of their parent.

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
/** How many handshakes are under way at once. */
const AT_ONCE = 100;

let arrived = 0;
let wanted = Number.POSITIVE_INFINITY;
/** For so many ms nothing may come behind what comes next, to count it; 0: what comes is not counted so. */
let quiet = 0;
/** @type {NodeJS.Timeout | undefined} */
let quietTimer;

/** @param {any} message */
function report(message) {
  process.send?.(message);
}

/** @param {{ port: number, contestant: string, compressed: boolean }} options @returns {Promise<void>} */
function join({ port, contestant, compressed }) {
  return new Promise((resolve, reject) => {
    const isSocketIo = contestant === 'socket.io';
    const socket = connect(port, '127.0.0.1');
    socket.once('error', reject);
    socket.write(
      `GET ${isSocketIo ? '/socket.io/?EIO=4&transport=websocket' : '/'} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n` +
        `Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n` +
        `${compressed ? 'Sec-WebSocket-Extensions: permessage-deflate\r\n' : ''}\r\n`,
    );
    let head = '';
    let hasAsked = false;
    /** @param {Buffer} chunk */
    function onHead(chunk) {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      if (isSocketIo) {
        // '0{…}' opens the connection of engine.io; '40' joins a namespace of socket.io, which is answered by '40{…}'.
        if (!head.includes('"maxPayload"')) return;
        if (!hasAsked) socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x34, 0x30]));
        hasAsked = true;
        if (!head.includes('40{')) return;
      }
      socket.off('data', onHead);
      socket.on('data', onData);
      resolve();
    }
    socket.on('data', onHead);
  });
}

/** @param {Buffer} chunk */
function onData(chunk) {
  arrived += chunk.length;
  if (quiet > 0) {
    clearTimeout(quietTimer);
    quietTimer = setTimeout(() => {
      quiet = 0;
      report({ bytes: arrived });
    }, quiet);
  } else if (arrived >= wanted) {
    wanted = Number.POSITIVE_INFINITY;
    report({ bytes: arrived });
  }
}

/** @param {any} message */
async function onMessage(message) {
  if (message.port) {
    for (let at = 0; at < message.members; at += AT_ONCE) {
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, message.members - at) }, () => join(message)));
    }
    report({ joined: true });
    return;
  }
  arrived = 0;
  report({ ready: true });
  if (message.quiet) quiet = message.quiet;
  else wanted = message.bytes;
}

process.on('message', onMessage);
