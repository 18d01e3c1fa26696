/** What the pages share. */

/** @param {string} id */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no element #${id}`);
  return element;
}

/**
 * An element with a class and text. Text is never parsed: what comes from the network stays text.
 *
 * @param {string} tag
 * @param {string} [className]
 * @param {string} [text]
 */
export function element(tag, className = '', text = '') {
  const created = document.createElement(tag);
  if (className) created.className = className;
  created.textContent = text;
  return created;
}

/**
 * The WebSocket address of a path of this server.
 *
 * @param {string} path
 */
export function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url;
}

/**
 * @param {HTMLElement} pill
 * @param {string} text
 * @param {'' | 'good' | 'warn' | 'bad'} tone
 */
export function setPill(pill, text, tone) {
  pill.textContent = text;
  pill.dataset.tone = tone;
}

/**
 * Appends a line to a log of limited length, and keeps the end in view unless the reader has scrolled up.
 *
 * @param {HTMLElement} list in the element that scrolls
 * @param {HTMLElement} line
 * @param {number} mostLines
 */
export function appendLine(list, line, mostLines) {
  const view = list.parentElement;
  // Scrolls by keyboard too.
  view.tabIndex = 0;
  const isAtEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 40;
  list.append(line);
  if (list.childElementCount > mostLines) list.firstElementChild?.remove();
  if (isAtEnd) view.scrollTop = view.scrollHeight;
}
