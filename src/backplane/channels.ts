import { ALL, type GroupKey } from '../groups/group-backplane.js';

/**
 * The channel of a group. One for each, so that a process without members gets nothing.
 */
export function groupChannel(group: GroupKey): string {
  return group === ALL ? 'all' : `group:${group}`;
}

/** Where the processes find each other. */
export const NODES_CHANNEL = 'nodes';

/** The channel of one process alone, for answers. */
export function inboxChannel(node: string): string {
  return `node:${node}`;
}
