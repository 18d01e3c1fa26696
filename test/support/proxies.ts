import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canConnect, freePort } from './free-port.js';
import { certificate, type TestContext } from './servers.js';

export type ProxyName = 'nginx' | 'haproxy';

/** A reverse proxy in front of a server, without TLS on one port and with it on another. */
export interface Proxy {
  readonly plainPort: number;
  readonly securePort: number;
}

interface Behind {
  /** The port of the server behind the proxy. */
  readonly upstream: number;
  /** How long the proxy lets a connection be idle, in seconds. */
  readonly idleTimeout: number;
  /** The port of a server of HTTP/2 that HAProxy brings WebSockets to. */
  readonly http2Upstream?: number;
}

/** The configuration that a page of the documentation shows. */
function configurationIn(page: string, language: string): string {
  const text = readFileSync(`docs/how-to/${page}.md`, 'utf8');
  const block = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(text)?.[1];
  if (block === undefined) throw new Error(`docs/how-to/${page}.md has no configuration for ${language}`);
  return block;
}

/** That of a proxy in front of a server, with the ports and times of a test. */
function shown(language: string, { upstream, idleTimeout }: Behind): string {
  return configurationIn('behind-a-proxy', language)
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${upstream}`)
    .replace('proxy_read_timeout 60s', `proxy_read_timeout ${idleTimeout}s`)
    .replace('timeout tunnel 60s', `timeout tunnel ${idleTimeout}s`);
}

interface Setting extends Proxy, Behind {
  readonly folder: string;
}

const programs: Readonly<
  Record<ProxyName, { configure: (setting: Setting) => string; args: (file: string) => string[] }>
> = {
  nginx: {
    configure: ({ plainPort, securePort, folder, ...behind }) => `
daemon off;
master_process off;
pid ${folder}/pid;
error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  ssl_certificate ${folder}/cert.pem;
  ssl_certificate_key ${folder}/key.pem;
  ${shown('nginx', behind).replace(
    'server {',
    `server {\n  listen 127.0.0.1:${plainPort};\n  listen 127.0.0.1:${securePort} ssl;`,
  )}
}
`,
    args: (file) => ['-c', file, '-e', 'stderr'],
  },
  haproxy: {
    configure: ({ plainPort, securePort, folder, http2Upstream, ...behind }) => {
      const frontend =
        http2Upstream === undefined
          ? 'frontend web\n  bind :443 ssl crt site.pem\n  default_backend app\n'
          : configurationIn('http2', 'haproxy').replace('127.0.0.1:8081', `127.0.0.1:${http2Upstream}`);
      return `
${shown('haproxy', behind)}
${frontend.replace(
  'bind :443 ssl crt site.pem',
  `bind 127.0.0.1:${plainPort}\n  bind 127.0.0.1:${securePort} ssl crt ${folder}/both.pem`,
)}
`;
    },
    args: (file) => ['-db', '-f', file],
  },
};

/** Whether the program is there; in CI it has to be. */
export function hasProxy(name: ProxyName): boolean {
  const found = spawnSync(name, ['-v'], { stdio: 'ignore' }).error === undefined;
  if (!found && process.env['CI']) throw new Error(`${name} is not installed, in CI it must be: see .ci/run`);
  return found;
}

/** Starts a proxy in front of a server, until the end of the test. */
export async function startProxy(t: TestContext, name: ProxyName, behind: Behind): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [plainPort, securePort] = [await freePort(), await freePort()];
  writeFileSync(join(folder, 'cert.pem'), certificate.cert);
  writeFileSync(join(folder, 'key.pem'), certificate.key);
  writeFileSync(join(folder, 'both.pem'), certificate.cert + certificate.key);
  const file = join(folder, 'configuration');
  const program = programs[name];
  writeFileSync(file, program.configure({ plainPort, securePort, folder, ...behind }));
  const child = spawn(name, program.args(file), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  while (!(await canConnect(securePort))) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}: ${output}`);
    await pause(child);
  }
  return { plainPort, securePort };
}

/** Waits for something to happen, or a moment: a proxy does not say that it listens. */
async function pause(child: ChildProcess): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      child.removeListener('exit', done);
      resolve();
    };
    const timer = setTimeout(done, 20);
    child.once('exit', done);
  });
}
