// What jest replaces by itself: nextTick, queueMicrotask and setImmediate too.
const library = { ...require('websocket-context'), ...require('websocket-context/testing') };
const testUnderFakes = require('./under-fakes.cjs');

jest.useFakeTimers();
const fakes = [process.nextTick, queueMicrotask, setImmediate];
testUnderFakes({ test, expect, timers: jest, fakes }, library);
