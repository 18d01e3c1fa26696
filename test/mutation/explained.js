/**
 * Mutants that no test notices, and why none could. Each is named by the line that it stands on and by what becomes of
 * what, so that an explanation outlives changes elsewhere, but no change of its own line.
 */
const explained = [
  {
    why: 'A short way beside a long one that comes to the same',
    mutants: [
      {
        file: 'src/framing/kept-zlib.ts',
        line: 'if (scratch.length < room) scratch = Buffer.allocUnsafeSlow(room);',
        changes: [
          ['scratch.length < room', 'true'],
          ['scratch.length < room', 'scratch.length <= room'],
        ],
      },
      {
        file: 'src/backplane/outbox.ts',
        line: 'if (this.#batches.size === 0) eventLoop.nextTick(this.#flushAll);',
        changes: [['this.#batches.size === 0', 'true']],
      },
      {
        file: 'src/connection/sending/send-compressor.ts',
        line: "const out = this.#deflater.compressAtOnce(typeof data === 'string' ? Buffer.from(data) : data);",
        changes: [["typeof data === 'string'", 'true']],
      },
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: 'return res.end === end;',
        changes: [['res.end === end', 'false']],
      },
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: 'export function isEndedBy(res: ServerResponse): boolean {',
        changes: [['{ return res.end === end; }', '{}']],
      },
      {
        file: 'src/framing/mask.ts',
        line: 'if (simd !== false) {',
        changes: [
          ['simd !== false', 'false'],
          ['{ const { memory, unmask } = simd; … }', '{}'],
        ],
      },
      {
        file: 'src/framing/mask.ts',
        line: 'for (let rest = end - from; rest >= SIMD_STEP; rest = end - from) {',
        changes: [
          ['rest >= SIMD_STEP', 'false'],
          ['rest >= SIMD_STEP', 'rest > SIMD_STEP'],
        ],
      },
      {
        file: 'src/framing/mask.ts',
        line: 'return bits | (simd === false ? unmaskView(viewOf(target), to, stop, key) : unmaskBytes(target, to, stop, key));',
        changes: [
          ['simd === false', 'true'],
          ['simd === false', 'false'],
          ['simd === false', 'simd !== false'],
          ['false', 'true'],
        ],
      },
      {
        file: 'src/framing/inflate-window.ts',
        line: 'const fresh = chunk.length > size ? chunk.subarray(chunk.length - size) : chunk;',
        changes: [['chunk.length > size', 'chunk.length >= size']],
      },
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: "return res.writeHead !== writeHead || !writeHeadOfNode.is(Reflect.get(Object.getPrototypeOf(res), 'writeHead'));",
        changes: [
          [
            "res.writeHead !== writeHead || !writeHeadOfNode.is(Reflect.get(Object.getPrototypeOf(res), 'writeHead'))",
            'true',
          ],
          ["'writeHead'", '""'],
        ],
      },
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: 'if (headerName !== undefined && another === undefined && headerName.toLowerCase() === only) return [headerName];',
        changes: [
          ['headerName !== undefined && another === undefined && headerName.toLowerCase() === only', 'false'],
          ['headerName.toLowerCase()', 'headerName.toUpperCase()'],
        ],
      },
      {
        file: 'src/upgrade/request-event.ts',
        line: 'if (started.hasSubscribers || finished.hasSubscribers) publishLikeNode(server, req, res);',
        changes: [['started.hasSubscribers || finished.hasSubscribers', 'true']],
      },
      {
        file: 'src/upgrade/handshake.ts',
        line: "(upgrade === 'websocket' || hasToken(upgrade, 'websocket')) &&",
        changes: [
          ["upgrade === 'websocket'", 'false'],
          ["'websocket'", '""'],
        ],
      },
      {
        file: 'src/upgrade/handshake.ts',
        line: "(connection === 'Upgrade' || hasToken(connection, 'upgrade'))",
        changes: [
          ["connection === 'Upgrade'", 'false'],
          ["'Upgrade'", '""'],
        ],
      },
      {
        file: 'src/upgrade/handshake.ts',
        line: "if (typeof options.origin === 'function' || typeof options.subProtocols === 'function') assertAcceptable(upgrade);",
        changes: [["typeof options.origin === 'function' || typeof options.subProtocols === 'function'", 'true']],
      },
      {
        file: 'src/upgrade/response-prototype.ts',
        line: 'const isClass = /^class\\b/.test(Function.prototype.toString.call(base));',
        changes: [['/^class\\b/', '/class\\b/']],
      },
      {
        file: 'src/upgrade/attach.ts',
        line: 'if (isNext(arrival.socket)) this.#serve(applications, arrival, hasCompany);',
        changes: [['isNext(arrival.socket)', 'false']],
      },
      {
        file: 'src/upgrade/attach.ts',
        line: 'return filter !== undefined;',
        changes: [['filter !== undefined', 'true']],
      },
      {
        file: 'src/upgrade/request-event.ts',
        line: 'if (emit === inherited) return emit;',
        changes: [['emit === inherited', 'false']],
      },
      {
        file: 'src/upgrade/origin.ts',
        line: 'const PLAIN_HOST = /^[a-z0-9.-]+(?::[0-9]+)?$/i;',
        changes: [
          ['/^[a-z0-9.-]+(?::[0-9]+)?$/i', '/^[a-z0-9.-](?::[0-9]+)?$/i'],
          ['/^[a-z0-9.-]+(?::[0-9]+)?$/i', '/^[a-z0-9.-]+(?::[0-9])?$/i'],
          ['/^[a-z0-9.-]+(?::[0-9]+)?$/i', '/^[a-z0-9.-]+(?::[0-9]+)$/i'],
        ],
      },
      {
        file: 'src/upgrade/origin.ts',
        line: 'if (origin === own) return PLAIN_HOST.test(host) || normalizeOrigin(own) !== undefined;',
        changes: [['origin === own', 'false']],
      },
      {
        file: 'src/framing/frame.ts',
        line: "const length = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;",
        changes: [["typeof payload === 'string'", 'true']],
      },
      {
        file: 'src/connection/closing/close-status.ts',
        line: 'if (bytes.length <= DESCRIPTION_LIMIT) return text;',
        changes: [
          ['bytes.length <= DESCRIPTION_LIMIT', 'false'],
          ['bytes.length <= DESCRIPTION_LIMIT', 'bytes.length < DESCRIPTION_LIMIT'],
        ],
      },
      {
        file: 'src/connection/closing/our-close.ts',
        line: 'if (this.#events.state !== WebSocketState.CloseReceived || !this.audience.wantsAcknowledgement) return;',
        changes: [
          ['this.#events.state !== WebSocketState.CloseReceived || !this.audience.wantsAcknowledgement', 'false'],
          [
            'this.#events.state !== WebSocketState.CloseReceived || !this.audience.wantsAcknowledgement',
            'this.#events.state !== WebSocketState.CloseReceived && !this.audience.wantsAcknowledgement',
          ],
          ['this.#events.state !== WebSocketState.CloseReceived', 'false'],
        ],
      },
      {
        file: 'src/upgrade/ws-bridge.ts',
        line: 'if (server === undefined) {',
        changes: [['server === undefined', 'true']],
      },
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: "if (!res.writableFinished) Object.defineProperty(res, 'writableFinished', { configurable: true, value: true });",
        // Whether it can be configured matters where Node keeps it in a field, from Node 24 on.
        changes: [
          ['!res.writableFinished', 'true'],
          ['true', 'false'],
        ],
      },
      {
        file: 'src/framing/utf8.ts',
        line: 'if (end - start < NATIVE_FROM) return this.#walk(chunk, start, end);',
        changes: [
          ['end - start < NATIVE_FROM', 'true'],
          ['end - start < NATIVE_FROM', 'end - start <= NATIVE_FROM'],
          ['end - start', 'end + start'],
        ],
      },
      {
        file: 'src/framing/frame-writer.ts',
        line: 'if (characters <= SHORT_TEXT) {',
        changes: [
          ['characters <= SHORT_TEXT', 'false'],
          ['characters <= SHORT_TEXT', 'true'],
          ['characters <= SHORT_TEXT', 'characters < SHORT_TEXT'],
          ['characters <= SHORT_TEXT', 'characters > SHORT_TEXT'],
          ['{ for (; length < characters; length++) { … }', '{}'],
        ],
      },
      {
        file: 'src/framing/frame-writer.ts',
        line: 'if (start !== payload) block.copyWithin(start, payload, payload + length);',
        changes: [['start !== payload', 'true']],
      },
      {
        file: 'src/framing/frame-writer.ts',
        line: 'for (; length < characters; length++) {',
        changes: [['length < characters', 'false']],
      },
      {
        file: 'src/framing/frame-writer.ts',
        line: 'if (unit > 0x7f) break;',
        changes: [
          ['unit > 0x7f', 'true'],
          ['unit > 0x7f', 'unit >= 0x7f'],
        ],
      },
      {
        file: 'src/framing/frame-writer.ts',
        line: 'if (length < characters) length = block.write(text, payload);',
        changes: [
          ['length < characters', 'true'],
          ['length < characters', 'length <= characters'],
        ],
      },
      {
        file: 'src/framing/mask.ts',
        line: 'for (; at + 15 < end; at += 16) {',
        changes: [['at + 15 < end', 'false']],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'if (!this.open && end - pos >= 8) {',
        changes: [
          ['!this.open && end - pos >= 8', 'false'],
          ['end - pos >= 8', 'true'],
          ['end - pos >= 8', 'end - pos > 8'],
          ['end - pos', 'end + pos'],
          ['end - pos >= 8', 'end - pos < 8'],
          ['{ const first = chunk[pos] as number; … }', '{}'],
        ],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'const opcode = (first & (compression ? ~RSV1 : -1)) ^ FIN;',
        changes: [
          ['~RSV1', 'RSV1'],
          ['-1', '+1'],
        ],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: '(opcode === TEXT_FRAME || opcode === BINARY_FRAME) &&',
        changes: [
          [
            '(opcode === TEXT_FRAME || opcode === BINARY_FRAME) && second >= MASK && second !== (MASK | LENGTH_IN_64_BITS)',
            'false',
          ],
          ['opcode === TEXT_FRAME', 'false'],
          ['opcode === TEXT_FRAME || opcode === BINARY_FRAME', 'opcode === TEXT_FRAME && opcode === BINARY_FRAME'],
          ['opcode === BINARY_FRAME', 'false'],
        ],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'second >= MASK &&',
        changes: [['second >= MASK', 'second > MASK']],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: ') {',
        changes: [['{ let length = second & ~MASK; … }', '{}']],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'if (stop <= end && length <= limit) {',
        changes: [
          ['stop <= end && length <= limit', 'false'],
          ['stop <= end', 'stop < end'],
          ['length <= limit', 'length < limit'],
          ['{ const key = readKey(chunk, start - KEY_SIZE); … }', '{}'],
        ],
      },
      {
        file: 'src/upgrade/handshake.ts',
        line: "return list === token || list.split(',').some((item) => item.trim() === token);",
        changes: [['list === token', 'false']],
      },
      {
        file: 'src/upgrade/subprotocol.ts',
        line: 'if (requested.length === 0) return undefined;',
        changes: [['requested.length === 0', 'false']],
      },
    ],
  },
  {
    why: 'Only decides how fast something is, or how much memory it takes for a while',
    mutants: [
      {
        file: 'src/connection/sending/cohort.ts',
        line: 'if (this.#end <= 2 * this.#size + FEW) return;',
        changes: [
          ['this.#end <= 2 * this.#size + FEW', 'false'],
          ['this.#end <= 2 * this.#size + FEW', 'true'],
          ['this.#end <= 2 * this.#size + FEW', 'this.#end < 2 * this.#size + FEW'],
          ['this.#end <= 2 * this.#size + FEW', 'this.#end > 2 * this.#size + FEW'],
          ['2 * this.#size + FEW', '2 * this.#size - FEW'],
          ['2 * this.#size', '2 / this.#size'],
        ],
      },
      {
        file: 'src/connection/sending/cohort.ts',
        line: 'this.#all = this.#all?.followedBy(frame, true);',
        changes: [['true', 'false']],
      },
      {
        file: 'src/connection/sending/cohort.ts',
        line: 'this.#frames = before === undefined ? frame : before.followedBy(frame, true);',
        changes: [['true', 'false']],
      },
      {
        file: 'src/connection/sending/cohort.ts',
        line: 'if (!this.#settings.includes(deflateSetting)) this.#settings.push(deflateSetting);',
        changes: [['!this.#settings.includes(deflateSetting)', 'true']],
      },
      {
        file: 'src/connection/sending/cohort.ts',
        line: 'if (leavers.length > 0) this.#leavers = [];',
        changes: [['leavers.length > 0', 'true']],
      },
      {
        file: 'src/connection/sending/send-queue.ts',
        line: 'if (slot !== undefined) this.#slots?.delete(slot);',
        changes: [['slot !== undefined', 'true']],
      },
      {
        file: 'src/connection/sending/send-queue.ts',
        line: 'if (this.#first === this.#waiting.length || this.#first === CUT_FROM) {',
        changes: [
          ['this.#first === this.#waiting.length || this.#first === CUT_FROM', 'false'],
          ['this.#first === this.#waiting.length || this.#first === CUT_FROM', 'true'],
          [
            'this.#first === this.#waiting.length || this.#first === CUT_FROM',
            'this.#first === this.#waiting.length && this.#first === CUT_FROM',
          ],
          ['this.#first === this.#waiting.length', 'false'],
          ['this.#first === this.#waiting.length', 'this.#first !== this.#waiting.length'],
          ['this.#first === CUT_FROM', 'false'],
          ['this.#first === CUT_FROM', 'this.#first !== CUT_FROM'],
          ['{ this.#waiting = this.#waiting.slice(this.#first); this.#first = 0; }', '{}'],
        ],
      },
      {
        file: 'src/connection/sending/slices.ts',
        line: 'waiting = waiting.length === 0 ? targets : waiting.concat(targets);',
        changes: [['waiting.length === 0', 'false']],
      },
      {
        file: 'src/connection/sending/slices.ts',
        line: 'if (turns % TURNS_PER_LOOK === 0 && performance.now() >= end) break;',
        changes: [['performance.now() >= end', 'performance.now() > end']],
      },
      {
        file: 'src/connection/sending/slices.ts',
        line: 'if (isDone || 2 * next >= waiting.length) {',
        changes: [
          ['isDone || 2 * next >= waiting.length', 'true'],
          ['isDone || 2 * next >= waiting.length', 'isDone && 2 * next >= waiting.length'],
          ['2 * next >= waiting.length', 'false'],
          ['2 * next >= waiting.length', '2 * next > waiting.length'],
          ['2 * next >= waiting.length', '2 * next < waiting.length'],
          ['2 * next', '2 / next'],
        ],
      },
      {
        file: 'src/groups/groups.ts',
        line: 'if (before === undefined && !message.isBeingCompressed) return;',
        changes: [['before === undefined && !message.isBeingCompressed', 'false']],
      },
      {
        file: 'src/groups/groups.ts',
        line: '.then(() => {',
        changes: [['{ if (this.#compressed === compressed) this.#compressed = undefined; }', '{}']],
      },
      {
        file: 'src/groups/groups.ts',
        line: 'if (this.#compressed === compressed) this.#compressed = undefined;',
        changes: [['this.#compressed === compressed', 'false']],
      },
      {
        file: 'src/groups/groups.ts',
        line: 'if (except.size > this.#count(key)) return false;',
        changes: [
          ['except.size > this.#count(key)', 'false'],
          ['except.size > this.#count(key)', 'except.size >= this.#count(key)'],
        ],
      },
      {
        file: 'src/groups/groups.ts',
        line: 'if (known !== undefined || this.#count(key) - except.size < 2) return known;',
        changes: [['this.#count(key) - except.size', 'this.#count(key) + except.size']],
      },
      {
        file: 'src/framing/frame-run.ts',
        line: 'const isJoined = byteLength <= JOIN_LIMIT && (this.#isCommon || byteLength <= this.count * SMALL_FRAME);',
        changes: [
          ['byteLength <= JOIN_LIMIT', 'byteLength < JOIN_LIMIT'],
          ['byteLength <= this.count * SMALL_FRAME', 'byteLength < this.count * SMALL_FRAME'],
        ],
      },
      {
        file: 'src/framing/frame-run.ts',
        line: 'if (this.count > 1 && !isJoined) return this.#batchOf(this.frames);',
        changes: [
          ['this.count > 1', 'true'],
          ['this.count > 1', 'this.count >= 1'],
        ],
      },
      {
        file: 'src/upgrade/node-method.ts',
        line: 'if (method !== this.#last) {',
        changes: [['method !== this.#last', 'true']],
      },
      {
        file: 'src/upgrade/layout.ts',
        line: 'const isAddedLast = Number.parseInt(process.versions.v8, 10) >= 13;',
        changes: [
          ['Number.parseInt(process.versions.v8, 10) >= 13', 'false'],
          ['Number.parseInt(process.versions.v8, 10) >= 13', 'Number.parseInt(process.versions.v8, 10) > 13'],
        ],
      },
      {
        file: 'src/upgrade/response-prototype.ts',
        line: 'function warmUp(): void {',
        changes: [
          [
            "{ const req = { method: 'GET', httpVersionMajor: 1, httpVersionMinor: 1 } as IncomingMessage; for (let i = 0; i < 32; i++) for (const name of NAMES) new ServerResponse(req).setHeader(name, ''); }",
            '{}',
          ],
        ],
      },
      {
        file: 'src/upgrade/response-prototype.ts',
        line: "for (let i = 0; i < 32; i++) for (const name of NAMES) new ServerResponse(req).setHeader(name, '');",
        changes: [
          ['i < 32', 'false'],
          ['i < 32', 'i <= 32'],
          ['i < 32', 'i >= 32'],
          ["''", '"Stryker was here!"'],
        ],
      },
      {
        file: 'src/upgrade/request-property.ts',
        line: 'if (!Object.hasOwn(req, this.#name) && (prototype === this.#last || this.#isKnown(prototype))) return;',
        changes: [['prototype === this.#last', 'false']],
      },
      {
        file: 'src/upgrade/subprotocol.ts',
        line: 'while (start < end && isBlank(item, start)) start++;',
        changes: [
          ['start < end', 'true'],
          ['start < end', 'start <= end'],
        ],
      },
      {
        file: 'src/upgrade/subprotocol.ts',
        line: 'while (end > start && isBlank(item, end - 1)) end--;',
        changes: [
          ['end > start', 'true'],
          ['end > start', 'end >= start'],
        ],
      },
      {
        file: 'src/upgrade/waiting-request.ts',
        line: "if (phase === 'gone') return;",
        changes: [
          ["phase === 'gone'", 'false'],
          ["'gone'", '""'],
        ],
      },
      {
        file: 'src/framing/mask.ts',
        line: 'if (place !== undefined) chunk.copy(target, to, from, end);',
        changes: [['place !== undefined', 'true']],
      },
      {
        file: 'src/framing/inflater.ts',
        line: 'if (this.#takeover) {',
        changes: [['this.#takeover', 'true']],
      },
      {
        file: 'src/framing/inflate-window.ts',
        line: 'if (needed <= this.#bytes.length) return;',
        changes: [
          ['needed <= this.#bytes.length', 'false'],
          ['needed <= this.#bytes.length', 'needed < this.#bytes.length'],
        ],
      },
      {
        file: 'src/framing/inflate-window.ts',
        line: 'const larger = Buffer.allocUnsafeSlow(Math.min(this.#bytes.length === 0 ? needed : 2 * needed, this.#size));',
        changes: [
          [
            'Math.min(this.#bytes.length === 0 ? needed : 2 * needed, this.#size)',
            'Math.max(this.#bytes.length === 0 ? needed : 2 * needed, this.#size)',
          ],
          ['this.#bytes.length === 0', 'true'],
          ['this.#bytes.length === 0', 'false'],
          ['this.#bytes.length === 0', 'this.#bytes.length !== 0'],
        ],
      },
      {
        file: 'src/upgrade/request-event.ts',
        line: 'if (started.hasSubscribers) started.publish(message);',
        changes: [['started.hasSubscribers', 'true']],
      },
      {
        file: 'src/upgrade/request-event.ts',
        line: "if (finished.hasSubscribers) res.once('finish', () => finished.publish(message));",
        changes: [['finished.hasSubscribers', 'true']],
      },
      {
        file: 'src/upgrade/request-event.ts',
        line: 'if (probe?.emit !== emit) {',
        changes: [['probe?.emit !== emit', 'true']],
      },
      {
        file: 'src/groups/group.ts',
        line: 'if (members.size === 1) this.#members = last as Member;',
        changes: [['members.size === 1', 'false']],
      },
      {
        file: 'src/groups/groups.ts',
        line: 'if (except.size > 0 && except.has(context)) continue;',
        changes: [
          ['except.size > 0', 'true'],
          ['except.size > 0', 'except.size >= 0'],
        ],
      },
      {
        file: 'src/groups/groups.ts',
        line: 'group.joining = this.#backplane.join(name).then(() => {',
        changes: [['{ group.joining = undefined; }', '{}']],
      },
      {
        file: 'src/upgrade/chain.ts',
        line: '#isWaiting = false;',
        changes: [['false', 'true']],
      },
      {
        file: 'src/framing/deflate-options.ts',
        line: 'zlibDeflateOptions: Object.freeze({ level: 3, memLevel: 7 }),',
        changes: [['{ level: 3, memLevel: 7 }', '{}']],
      },
      {
        file: 'src/framing/inflater.ts',
        line: 'while (this.#next < this.#waiting.length && size < portion && (flags & MESSAGE_END) === 0) {',
        changes: [
          ['size < portion', 'true'],
          ['size < portion', 'size <= portion'],
        ],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: '} else if (end >= VIEW_FROM) {',
        changes: [
          ['end >= VIEW_FROM', 'true'],
          ['end >= VIEW_FROM', 'false'],
          ['end >= VIEW_FROM', 'end > VIEW_FROM'],
          ['end >= VIEW_FROM', 'end < VIEW_FROM'],
        ],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'if (this.remaining > 0) this.key = advanceKey(key, size);',
        changes: [
          ['this.remaining > 0', 'true'],
          ['this.remaining > 0', 'this.remaining >= 0'],
        ],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'if (this.remaining === 0) {',
        changes: [
          ['this.remaining === 0', 'false'],
          ['{ this.deliverControl(chunk.subarray(start, end)); return; }', '{}'],
        ],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'if (length >= LONG_FROM) {',
        changes: [
          ['length >= LONG_FROM', 'true'],
          ['length >= LONG_FROM', 'false'],
          ['length >= LONG_FROM', 'length > LONG_FROM'],
          ['length >= LONG_FROM', 'length < LONG_FROM'],
        ],
      },
    ],
  },
  {
    why: 'Behind it, another check has the same answer',
    mutants: [
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: "if (mayWrite(this)) inherited(this, 'flushHeaders', []);",
        changes: [['mayWrite(this)', 'true']],
      },
      {
        file: 'src/upgrade/extensions.ts',
        line: 'return value !== undefined && WINDOW_BITS.test(value);',
        changes: [['value !== undefined', 'true']],
      },
      {
        file: 'src/upgrade/extensions.ts',
        line: 'return value !== undefined && isToken(value) ? value : undefined;',
        changes: [['value !== undefined', 'true']],
      },
      {
        file: 'src/connection/closing/our-close.ts',
        line: 'this.#send(closePayload(closeStatus, closeStatus === 1005 ? undefined : closeStatusDescription));',
        changes: [['closeStatus === 1005', 'false']],
      },
      {
        file: 'src/framing/inflater.ts',
        line: 'if (this.#busy) {',
        changes: [['this.#busy', 'true']],
      },
      {
        file: 'src/upgrade/handshake.ts',
        line: 'if (key === undefined || !KEY.test(key)) {',
        changes: [['key === undefined', 'false']],
      },
      {
        file: 'src/upgrade/handshake.ts',
        line: 'offered === undefined || perMessageDeflate === false ? undefined : acceptableDeflate(offered, perMessageDeflate);',
        changes: [['offered === undefined', 'false']],
      },
      {
        file: 'src/upgrade/waiting-request.ts',
        line: "if (phase === 'yielded') return;",
        changes: [
          ["phase === 'yielded'", 'false'],
          ["'yielded'", '""'],
        ],
      },
      {
        file: 'src/upgrade/ws-bridge.ts',
        line: 'if (callback > 0) args[callback] = inCallersContext(args[callback] as (error?: Error) => void);',
        changes: [
          ['callback > 0', 'true'],
          ['callback > 0', 'callback >= 0'],
        ],
      },
      {
        file: 'src/upgrade/ws-bridge.ts',
        line: 'if (callback > 0) eventLoop.nextTick(args[callback] as (error?: Error) => void, error);',
        changes: [['callback > 0', 'callback >= 0']],
      },
      {
        file: 'src/framing/utf8.ts',
        line: 'if ((chunk[end - back] as number) >= 0xc0) return end - back;',
        changes: [['(chunk[end - back] as number) >= 0xc0', 'chunk[end - back] as number > 0xc0']],
      },
      {
        file: 'src/framing/deflate-pool.ts',
        line: 'if (!error) this.owner?.onConsumed();',
        changes: [['!error', 'true']],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'return this.remaining === 0 && this.headLength === 0 && this.controlLength === 0 && !this.open;',
        changes: [['this.controlLength === 0', 'true']],
      },
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: "if (upgrade.phase === 'waiting') upgrade.enter('answering');",
        changes: [["upgrade.phase === 'waiting'", 'true']],
      },
    ],
  },
  {
    why: 'The compiler wants it, for a case that does not arise',
    mutants: [
      {
        file: 'src/backplane/envelope.ts',
        line: "case 'hello':",
        changes: [["'hello'", '""']],
      },
      {
        file: 'src/backplane/envelope.ts',
        line: "case 'goodbye':",
        changes: [
          ["case 'goodbye': break;", "case 'goodbye':"],
          ["'goodbye'", '""'],
        ],
      },
      {
        file: 'src/backplane/envelope.ts',
        line: 'if (kind === undefined) return undefined;',
        changes: [['kind === undefined', 'false']],
      },
      {
        file: 'src/backplane/envelope.ts',
        line: '} catch {',
        changes: [['{ return undefined; }', '{}']],
      },
      {
        file: 'src/upgrade/attach.ts',
        line: 'if (stream.session !== undefined) this.#sessions?.add(stream.session);',
        changes: [
          ['stream.session !== undefined', 'true'],
          ['this.#sessions?.add', 'this.#sessions.add'],
        ],
      },
      {
        file: 'src/upgrade/attach.ts',
        line: 'if (socket instanceof Socket) socket.setTimeout(server.timeout);',
        changes: [['socket instanceof Socket', 'true']],
      },
      {
        file: 'src/upgrade/chain.ts',
        line: 'if (accepted) return events?.isHandled === false;',
        changes: [['events?.isHandled', 'events.isHandled']],
      },
      {
        file: 'src/connection/closing/our-close.ts',
        line: 'leave?.(reason);',
        changes: [['leave?.(reason)', 'leave(reason)']],
      },
      {
        file: 'src/framing/inflater.ts',
        line: 'if (codec === undefined || !this.#consumed || this.#paused || codec.stream.readableLength > 0) return;',
        changes: [['codec === undefined', 'false']],
      },
      {
        file: 'src/framing/inflater.ts',
        line: 'this.#open()?.write(again);',
        changes: [['this.#open()?.write', 'this.#open().write']],
      },
      {
        file: 'src/upgrade/attach.ts',
        line: 'if (this.#shouldUpgrade !== undefined && server.shouldUpgradeCallback === this.#decideUpgrade) {',
        changes: [['this.#shouldUpgrade !== undefined', 'true']],
      },
      {
        file: 'src/upgrade/attach.ts',
        line: 'this.#shouldUpgrade?.call(this.#server, req) === true;',
        changes: [['this.#shouldUpgrade?.call', 'this.#shouldUpgrade.call']],
      },
      {
        file: 'src/upgrade/upgrade-request.ts',
        line: 'before.waiting?.onPhase(phase);',
        changes: [['before.waiting?.onPhase', 'before.waiting.onPhase']],
      },
      {
        file: 'src/upgrade/upgrade-request.ts',
        line: 'before.waiting?.limit(timeout);',
        changes: [['before.waiting?.limit', 'before.waiting.limit']],
      },
      {
        file: 'src/framing/lasting-contexts.ts',
        line: 'if (this.#idle.size > MOST_IDLE && oldest !== undefined) {',
        changes: [['oldest !== undefined', 'true']],
      },
      {
        file: 'src/framing/deflate-pool.ts',
        line: "stream.on('data', (chunk: Buffer) => this.owner?.onInflated(chunk));",
        changes: [['this.owner?.onInflated', 'this.owner.onInflated']],
      },
      {
        file: 'src/framing/deflate-pool.ts',
        line: "stream.on('error', (error) => this.owner?.onError(error));",
        changes: [['this.owner?.onError', 'this.owner.onError']],
      },
      {
        file: 'src/framing/frame-writer.ts',
        line: 'if (this.#block === undefined || this.#end === this.#start) return;',
        changes: [['this.#block === undefined', 'false']],
      },
      {
        file: 'src/upgrade/upgrade-request.ts',
        line: 'return this[carried]?.events?.claim();',
        changes: [['this[carried]?.events', 'this[carried].events']],
      },
    ],
  },
  {
    why: 'Stands where anything would do that means nothing',
    mutants: [
      {
        file: 'src/upgrade/attach.ts',
        line: 'function hasNone(): boolean {',
        changes: [['{ return false; }', '{}']],
      },
      {
        file: 'src/connection/sending/cohort.ts',
        line: 'readonly #settings: (DeflateSetting | undefined)[] = [];',
        changes: [['[]', '["Stryker was here"]']],
      },
      {
        file: 'src/connection/sending/cohort.ts',
        line: '#isInWrite = false;',
        changes: [['false', 'true']],
      },
      {
        file: 'src/connection/sending/cohort.ts',
        line: '#hasRoom = false;',
        changes: [['false', 'true']],
      },
      {
        file: 'src/framing/frame-run.ts',
        line: '#isCommon = false;',
        changes: [['false', 'true']],
      },
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: 'let tellingOfEnd = false;',
        changes: [['false', 'true']],
      },
      {
        file: 'src/upgrade/ws-bridge.ts',
        line: 'headerLines: () => [],',
        changes: [['[]', '["Stryker was here"]']],
      },
      {
        file: 'src/upgrade/request-event.ts',
        line: "const PROBE = 'websocket-context:probe';",
        changes: [["'websocket-context:probe'", '""']],
      },
      {
        file: 'src/upgrade/request-event.ts',
        line: 'Reflect.apply(EventEmitter, stage, []);',
        changes: [['[]', '["Stryker was here"]']],
      },
      {
        file: 'src/upgrade/attach.ts',
        line: 'inTurn(this.#server, socket, () => this.#serve(wanting, { req, socket, head }, () => false));',
        changes: [['() => false', '() => undefined']],
      },
      {
        file: 'src/connection/closing/close-wait.ts',
        line: "#phase: Phase = 'idle';",
        changes: [["'idle'", '""']],
      },
      {
        file: 'src/framing/inflater.ts',
        line: '#consumed = false;',
        changes: [['false', 'true']],
      },
      {
        file: 'src/upgrade/origin.ts',
        line: "return policy.has(origin) || policy.has(normalizeOrigin(origin) ?? '');",
        changes: [["''", '"Stryker was here!"']],
      },
      {
        file: 'src/upgrade/upgrade-request.ts',
        line: "const carried: unique symbol = Symbol.for('websocket-context.upgradeRequest');",
        changes: [["'websocket-context.upgradeRequest'", '""']],
      },
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: 'for (let i = 0; i < flat.length; i += 2) res.removeHeader(String(flat[i]));',
        changes: [['i < flat.length', 'i <= flat.length']],
      },
      {
        file: 'src/upgrade/upgrade-response.ts',
        line: "if (mayWrite(this)) inherited(this, 'flushHeaders', []);",
        changes: [['[]', '["Stryker was here"]']],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'private final = false;',
        changes: [['false', 'true']],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'private delivered = false;',
        changes: [['false', 'true']],
      },
      {
        file: 'src/framing/frame-reader.ts',
        line: 'if (size === INCOMPLETE) {',
        changes: [['size === INCOMPLETE', 'true']],
      },
      {
        file: 'src/upgrade/attach.ts',
        line: "const attached: unique symbol = Symbol.for('websocket-context.attachments');",
        changes: [["'websocket-context.attachments'", '""']],
      },
      {
        file: 'src/framing/inflater.ts',
        line: '#endsMessage = false;',
        changes: [['false', 'true']],
      },
    ],
  },
];

const key = (file, line, original, replacement) => JSON.stringify([file, line, original, replacement]);

const reasons = new Map(
  explained.flatMap(({ why, mutants }) =>
    mutants.flatMap(({ file, line, changes }) =>
      changes.map(([original, replacement]) => [key(file, line, original, replacement), why]),
    ),
  ),
);

const keyOf = ({ file, text, original, replacement }) => key(file, text, original, replacement);

/** Why it is right that no test notices a mutant; `undefined` if it is not. */
export const explain = (mutant) => reasons.get(keyOf(mutant));

/** What is explained of a file although none of these survivors is it. */
export function unneeded(file, survivors) {
  const needed = new Set(survivors.map(keyOf));
  const names = [...reasons.keys()].filter((name) => !needed.has(name)).map((name) => JSON.parse(name));
  return names
    .filter(([of]) => of === file)
    .map(([, line, original, replacement]) => ({ line, original, replacement }));
}
