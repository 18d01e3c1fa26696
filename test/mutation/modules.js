/**
 * What is mutated, and which tests would notice: those of the file itself, and those of a promise that it keeps. More of
 * them would notice little more, and each survivor runs them all.
 */
export const modules = [
  { room: 'upgrade', name: 'origin', tests: ['origin'] },
  { room: 'upgrade', name: 'subprotocol', tests: ['subprotocol', 'handshake'] },
  { room: 'upgrade', name: 'plain-http', tests: ['plain-http'] },
  { room: 'upgrade', name: 'handshake', tests: ['handshake', 'upgrade-request', 'middleware.members', 'http2'] },
  {
    room: 'upgrade',
    name: 'ws-bridge',
    tests: ['ws-bridge', 'ws-bridge.hand-over', 'handshake', 'middleware.members', 'asynchronous-context'],
  },
  {
    room: 'upgrade',
    name: 'upgrade-request',
    tests: [
      'upgrade-request',
      'handshake',
      'upgrade-response.after',
      'middleware.members',
      'attach.company',
      'waiting-request',
    ],
  },
  {
    room: 'upgrade',
    name: 'upgrade-response',
    tests: ['upgrade-response', 'upgrade-response.after', 'upgrade-request', 'attach', 'waiting-request', 'handshake'],
  },
  {
    room: 'upgrade',
    name: 'attach',
    tests: ['attach', 'attach.company', 'attach.exclusive', 'plain-http', 'http2', 'upgrade-response.after'],
  },
  {
    room: 'upgrade',
    name: 'waiting-request',
    tests: ['waiting-request', 'attach.company', 'attach', 'handshake', 'upgrade-response'],
  },
  {
    room: 'upgrade',
    name: 'chain',
    tests: ['chain', 'attach', 'attach.company', 'request-event', 'upgrade-response.after', 'after-accept'],
  },
  { room: 'upgrade', name: 'chunked-body', tests: ['chunked-body'] },
  { room: 'upgrade', name: 'extensions', tests: ['extensions'] },
  { room: 'upgrade', name: 'request-event', tests: ['request-event'] },
  { room: 'connection/closing', name: 'audience', tests: ['unseen-closes', 'connection.closed', 'our-close'] },
  { room: 'connection/closing', name: 'close-status', tests: ['close-status', 'our-close', 'connection.close'] },
  { room: 'connection/closing', name: 'close-wait', tests: ['close-wait', 'connection.close', 'our-close'] },
  { room: 'connection/closing', name: 'our-close', tests: ['our-close', 'connection.close', 'unseen-closes'] },
  { room: 'groups', name: 'group', tests: ['groups'] },
  { room: 'groups', name: 'groups', tests: ['groups'] },
  { room: 'backplane', name: 'nodes', tests: ['nodes'] },
  { room: 'backplane', name: 'subscriptions', tests: ['subscriptions', 'backplane.corners'] },
  { room: 'framing', name: 'utf8', tests: ['utf8'] },
  { room: 'framing', name: 'deflate-pool', tests: ['deflate-pool', 'deflater', 'inflater'] },
  { room: 'framing', name: 'deflate-options', tests: ['deflate-options', 'deflater', 'inflater'] },
  { room: 'framing', name: 'deflater', tests: ['deflater'] },
  { room: 'framing', name: 'inflater', tests: ['inflater', 'framing.fuzz'] },
  { room: 'framing', name: 'inflate-window', tests: ['inflate-window'] },
  { room: 'framing', name: 'frame', tests: ['frame', 'frame-writer'] },
  { room: 'framing', name: 'frame-reader', tests: ['frame-reader', 'frame-reader.errors', 'framing.fuzz'] },
  { room: 'framing', name: 'frame-writer', tests: ['frame-writer', 'frame-run'] },
  { room: 'framing', name: 'mask', tests: ['mask', 'frame-reader'] },
];
