import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { isToken, parseSubProtocols, selectSubProtocol } from '../src/upgrade/subprotocol.js';

const req = new IncomingMessage(new Socket());

describe('isToken()', () => {
  it('knows the characters of RFC 9110 section 5.6.2', () => {
    const allowed = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (let code = 0; code < 256; code++) {
      const char = String.fromCharCode(code);
      assert.equal(isToken(char), allowed.includes(char), JSON.stringify(char));
    }
    assert.equal(isToken(allowed), true);
    assert.equal(isToken(''), false);
  });
});

describe('parseSubProtocols()', () => {
  const cases: ReadonlyArray<readonly [header: string | undefined, protocols: readonly string[], promise: string]> = [
    [undefined, [], 'is empty without a header'],
    ['chat', ['chat'], 'reads one name'],
    ['v2.chat, v1.chat', ['v2.chat', 'v1.chat'], "keeps the client's order"],
    [' \ta\t ,\t b  ', ['a', 'b'], 'ignores spaces and tabs around a name'],
    [',a,, ,b,', ['a', 'b'], 'skips empty items'],
    ['Chat, chat', ['Chat', 'chat'], 'takes names that differ in case for different ones'],
    ['', [], 'is empty for an empty header'],
    [', ,', [], 'is empty if only empty items are left'],
    ['a, a', [], 'is empty if a name is repeated'],
    ['a, b c', [], 'is empty if one name is invalid'],
    ['a, "b"', [], 'is empty for quoted names'],
    ['a,\u00a0b', [], 'is empty if other white space stands around a name'],
    ['a, b\u000b', [], 'is empty if a vertical tab stands behind a name'],
  ];
  for (const [header, protocols, promise] of cases) {
    it(promise, () => {
      const parsed = parseSubProtocols(header);
      assert.deepEqual(parsed, protocols);
      assert.ok(Object.isFrozen(parsed));
    });
  }
});

describe('selectSubProtocol()', () => {
  it("follows the server's order of preference", () => {
    assert.equal(selectSubProtocol(['v1', 'v2'], ['v2', 'v1'], req), 'v2');
  });

  it('selects none if nothing is common, by case too', () => {
    assert.equal(selectSubProtocol(['V1'], ['v1'], req), undefined);
  });

  it('selects none if either side lists nothing', () => {
    assert.equal(selectSubProtocol([], ['v1'], req), undefined);
    assert.equal(selectSubProtocol(['v1'], [], req), undefined);
  });

  it('asks a function, which sees what was requested and by which request', () => {
    const seen: unknown[] = [];
    const chosen = selectSubProtocol(['a', 'b'], (...given) => (seen.push(...given) > 0 ? 'b' : undefined), req);

    assert.equal(chosen, 'b');
    assert.deepEqual(seen, [['a', 'b'], req]);
    assert.equal(seen[1], req);
  });

  it('asks a function although nothing was requested', () => {
    let asked = false;
    selectSubProtocol(
      [],
      () => {
        asked = true;
        return undefined;
      },
      req,
    );
    assert.ok(asked);
  });

  it('throws a TypeError if a function chooses what was not requested', () => {
    assert.throws(() => selectSubProtocol(['a', 'b'], () => 'c', req), {
      name: 'TypeError',
      message: 'Cannot select the subprotocol: subProtocols() returned "c", must be one of [a, b] or undefined',
    });
    assert.throws(() => selectSubProtocol([], () => '', req), { name: 'TypeError', message: /returned ""/ });
  });

  it('throws a TypeError if a function returns what is no name', () => {
    const chooser = (async () => 'a') as () => never;
    assert.throws(() => selectSubProtocol(['a'], chooser, req), { name: 'TypeError', message: /returned object/ });
  });
});
