/**
 * Mutants that no test notices, and why none could. Each is named by the line that it stands on and by what becomes of
 * what, so that an explanation outlives changes elsewhere, but no change of its own line.
 */
const explained = [
  {
    why: 'Only decides between a short way and a long one that come to the same',
    mutants: [
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
    ],
  },
  {
    why: 'Stands for "none" where anything would do that can never be given',
    mutants: [
      {
        file: 'src/upgrade/origin.ts',
        line: "return policy.has(origin) || policy.has(normalizeOrigin(origin) ?? '');",
        changes: [["''", '"Stryker was here!"']],
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

/** Why it is right that no test notices a mutant; `undefined` if it is not. */
export const explain = ({ file, text, original, replacement }) => reasons.get(key(file, text, original, replacement));
