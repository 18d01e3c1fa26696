// All that vitest can replace in a process of its own.
import { createRequire } from 'node:module';
import { expect, test, vi } from 'vitest';
import * as webSocketContext from 'websocket-context';
import * as testing from 'websocket-context/testing';

const testUnderFakes = createRequire(import.meta.url)('./under-fakes.cjs');

vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'Date', 'performance'] });
const fakes = [queueMicrotask, setImmediate];
testUnderFakes({ test, expect, timers: vi, fakes }, { ...webSocketContext, ...testing });
