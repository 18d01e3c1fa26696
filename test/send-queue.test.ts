import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PendingSend } from '../src/connection/sending/pending-send.js';
import { NOBODY, SendQueue, type Waiting } from '../src/connection/sending/send-queue.js';
import { SharedMessage } from '../src/connection/sending/shared-message.js';

const send = (data: string): PendingSend =>
  new PendingSend({
    data,
    text: true,
    endOfMessage: true,
    compress: false,
    close: false,
    ownMessage: true,
    size: data.length,
  });

/** Of a message of `data`, bytes that wait: it has a header of two. */
const toMany = (data: string, slot?: string): SharedMessage => new SharedMessage(data, { text: true, slot });

function nameOf(waiting: Waiting): string {
  return String(waiting.shared === undefined ? waiting.data : waiting.shared.data);
}

/** Has each of those who wait have his turn. */
function takeAll(queue: SendQueue): string[] {
  const names: string[] = [];
  for (let head = queue.head; head !== undefined; head = queue.head) {
    names.push(nameOf(head));
    queue.shift();
  }
  return names;
}

describe('SendQueue', () => {
  it('has them wait in order, and knows how many bytes and how many there are', () => {
    const queue = new SendQueue();
    assert.deepEqual([queue.head, queue.count, queue.bytes], [undefined, 0, 0]);
    queue.add(send('abc'), false);
    queue.add(toMany('d'), false);
    queue.add(send('ef'), false);
    assert.deepEqual([queue.count, queue.bytes], [3, 3 + 3 + 2]);
    queue.shift();
    assert.deepEqual([queue.count, queue.bytes], [2, 3 + 2]);
    assert.deepEqual(takeAll(queue), ['d', 'ef']);
    assert.deepEqual([queue.head, queue.count, queue.bytes], [undefined, 0, 0]);
  });

  it('keeps the order of thousands while they come and go', () => {
    const queue = new SendQueue();
    const names = Array.from({ length: 5000 }, (_, number) => String(number));
    for (const name of names.slice(0, 3000)) queue.add(send(name), false);
    const taken: string[] = [];
    for (const name of names.slice(3000)) {
      taken.push(nameOf(queue.head as Waiting));
      queue.shift();
      queue.add(send(name), false);
    }
    assert.equal(queue.count, 3000);
    assert.deepEqual(taken.concat(takeAll(queue)), names);
  });

  it('has nobody wait aside any more when the message is over that they may not interrupt', () => {
    const queue = new SendQueue();
    queue.add(send('aside'), true);
    assert.deepEqual([queue.head, queue.count, queue.bytes], [undefined, 1, 5]);
    queue.add(toMany('next'), false);
    queue.add(send('last'), false);
    queue.postpone();
    assert.deepEqual([nameOf(queue.head as Waiting), queue.count, queue.bytes], ['last', 3, 5 + 6 + 4]);
    assert.equal(queue.rejoin(), true);
    assert.equal(queue.rejoin(), false);
    assert.deepEqual(takeAll(queue), ['aside', 'next', 'last']);
    assert.equal(queue.bytes, 0);
  });

  it('gives a message the place of the one that waits in its slot', () => {
    const queue = new SendQueue();
    queue.add(toMany('old', 'prices'), false);
    queue.add(toMany('other', 'places'), false);
    queue.add(toMany('newest', 'prices'), false);
    assert.deepEqual([queue.count, queue.bytes], [2, 8 + 7]);
    assert.equal(nameOf(queue.head as Waiting), 'newest');
    queue.shift();
    queue.add(toMany('next', 'prices'), false);
    assert.deepEqual([queue.count, queue.bytes], [2, 7 + 6]);
    assert.deepEqual(takeAll(queue), ['other', 'next']);
  });

  it('keeps the slot of a message that is postponed, and of none that has been dropped', () => {
    const queue = new SendQueue();
    queue.add(toMany('old', 'prices'), false);
    queue.postpone();
    queue.add(toMany('new', 'prices'), false);
    assert.deepEqual([queue.head, queue.count, queue.bytes], [undefined, 1, 5]);
    const mine = send('mine');
    queue.add(mine, true);
    assert.deepEqual(queue.dropAside(), [mine]);
    assert.deepEqual(queue.dropAside(), []);
    assert.deepEqual([queue.count, queue.bytes], [0, 0]);
    queue.add(toMany('later', 'prices'), false);
    queue.dropAside();
    assert.deepEqual(takeAll(queue), ['later']);
  });

  it('takes a send back wherever it waits', () => {
    const queue = new SendQueue();
    const [gone, one, two, aside, stays] = ['gone', 'one', 'two', 'aside', 'stays'].map(send) as [
      PendingSend,
      PendingSend,
      PendingSend,
      PendingSend,
      PendingSend,
    ];
    for (const each of [gone, one, two]) queue.add(each, false);
    for (const each of [aside, stays]) queue.add(each, true);
    queue.add(toMany('all'), false);
    queue.shift();
    assert.deepEqual(queue.sends, [one, two, aside, stays]);
    queue.remove(one);
    assert.deepEqual(queue.sends, [two, aside, stays]);
    queue.remove(stays);
    assert.deepEqual(queue.sends, [two, aside]);
    assert.deepEqual([queue.count, queue.bytes], [3, 3 + 5 + 5]);
    queue.rejoin();
    assert.deepEqual(takeAll(queue), ['aside', 'two', 'all']);
  });

  it('has one for all senders of which nobody waits', () => {
    assert.deepEqual([NOBODY.head, NOBODY.count, NOBODY.bytes, NOBODY.sends], [undefined, 0, 0, []]);
    assert.equal(NOBODY.rejoin(), false);
    assert.deepEqual(NOBODY.dropAside(), []);
  });
});
