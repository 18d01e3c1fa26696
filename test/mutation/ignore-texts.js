import { declareValuePlugin, PluginKind } from '@stryker-mutator/api/plugin';

/** Calls whose strings are words for people: an error, a fault that closes, a refusal. */
const SPEAKS = /^(?:createError|fault|failure|log\w*)$|Error$|Refused$/;

const nameOf = (callee) => callee.name ?? callee.property?.name ?? callee.property?.id?.name ?? '';

/** Leaves out the texts of errors: they may be worded anew without a test that has to agree. */
export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, 'texts', {
    shouldIgnore({ node, parent }) {
      if (node.type !== 'StringLiteral' && node.type !== 'TemplateLiteral') return;
      if (parent?.type !== 'NewExpression' && parent?.type !== 'CallExpression') return;
      if (SPEAKS.test(nameOf(parent.callee))) return 'A text';
    },
  }),
];
