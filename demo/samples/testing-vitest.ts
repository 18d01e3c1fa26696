import { afterEach, expect, test, vi } from 'vitest';
import { connect, HandshakeRefusedError } from 'websocket-context/testing';
import { app } from './testing-app.js';

const headers = { authorization: 'Bearer 4f0c' };

afterEach(() => {
  vi.useRealTimers();
});

test('answers a member', async () => {
  await using client = await connect(app, '/members/Ada', { headers });
  expect(await client.receiveAsync()).toBe('Hello, Ada');
  await client.sendAsync('hi');
  expect(await client.receiveAsync()).toBe('Ada: hi');
  await client.closeAsync(1000);
  expect(await client.closed).toEqual({ code: 1000, reason: '', wasClean: true });
});

test('asks every ten seconds whether the member is still there', async () => {
  vi.useFakeTimers();
  await using client = await connect(app, '/members/Ada', { headers });
  expect(await client.receiveAsync()).toBe('Hello, Ada');
  vi.advanceTimersByTime(10_000);
  expect(await client.receiveAsync()).toBe('Still there?');
});

test('lets nobody else in', async () => {
  const refusal = await connect(app, '/members/Ada').catch((error) => error);
  expect(refusal).toBeInstanceOf(HandshakeRefusedError);
  expect(refusal).toMatchObject({ status: 401, body: expect.stringContaining('Sign in first') });
});
