// The limit: see node-alone.js.
import { createNodeServer } from '../node-alone.js';
import { serve } from './serve.js';

await serve(createNodeServer());
