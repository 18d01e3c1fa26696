// Preloaded into the programs under test: whatever port they ask for, they get a free one and tell it their parent.
import { Server } from 'node:net';

const { listen } = Server.prototype;

Server.prototype.listen = function (_port, ...rest) {
  this.once('listening', () => process.send(this.address().port));
  return listen.call(this, 0, ...rest);
};
