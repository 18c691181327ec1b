import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import { withProgress } from './progress.js';
import { lastLines, runProgram } from './run-program.js';

const PROBE_LIMIT_MS = 5_000;
/** Some 100 MB from a host that is known to answer. */
const INSTALL_LIMIT_MS = 10 * 60_000;

/**
 * Runs tfjs-node's own install script, but only when the host that it downloads from answers.
 * Returns undefined on success, else the reason in a few words.
 */
export async function installTheirWay(packagePath) {
  const host = downloadHost(packagePath);
  if (host === undefined) return 'its script names no host';
  if (!(await answers(host))) return 'its host does not answer';
  const description = join(packagePath, 'package.json');
  const original = readFileSync(description, 'utf8');
  const result = await withProgress("the package's own download of TensorFlow", () =>
    runProgram(process.execPath, [join('scripts', 'install.js')], {
      cwd: packagePath,
      env: { ...process.env, PATH: searchPath(packagePath) },
      timeoutMs: INSTALL_LIMIT_MS,
    }),
  );
  if (result.code === 0) return undefined;
  // The script changes the package's description while it works, and leaves it so when it fails.
  writeFileSync(description, original);
  rmSync(join(packagePath, 'deps'), { recursive: true, force: true });
  const last = lastLines(result.output, 1).trim();
  return result.timedOut ? 'took longer than 10 minutes' : `failed: ${last}`;
}

/** The host as the package's own script and environment variables give it. */
export function downloadHost(packagePath) {
  const configured =
    process.env['TFJS_NODE_BASE_URI'] ??
    process.env['npm_config_TFJS_NODE_BASE_URI'] ??
    process.env['TFJS_NODE_CDN_STORAGE'] ??
    process.env['npm_config_TFJS_NODE_CDN_STORAGE'] ??
    process.env['CDN_STORAGE'];
  const script = join(packagePath, 'scripts', 'install.js');
  const text = configured ?? (existsSync(script) ? readFileSync(script, 'utf8') : '');
  const address = /BASE_HOST\s*=[^;]*?['"](https?:\/\/[^'"]+)['"]/.exec(text)?.[1] ?? configured;
  if (address === undefined || !URL.canParse(address)) return undefined;
  return new URL(address);
}

/** True when the host speaks at all within five seconds, through the proxy where one is set. */
function answers(host) {
  const proxy =
    process.env['HTTPS_PROXY'] ??
    process.env['https_proxy'] ??
    process.env['HTTP_PROXY'] ??
    process.env['http_proxy'] ??
    '';
  return new Promise((resolve) => {
    const request = proxy === '' ? headRequest(host) : connectRequest(host, proxy);
    const finish = (answered) => {
      clearTimeout(timer);
      resolve(answered);
      request.destroy();
    };
    // Its own timer: a request's time-out does not cover a name server that keeps silent.
    const timer = setTimeout(() => finish(false), PROBE_LIMIT_MS);
    request.once('response', () => finish(true));
    request.once('connect', (response) => finish(response.statusCode === 200));
    request.on('error', () => finish(false));
    request.end();
  });
}

function headRequest(host) {
  const send = host.protocol === 'http:' ? httpRequest : httpsRequest;
  return send(host, { method: 'HEAD' });
}

function connectRequest(host, proxy) {
  const { protocol, hostname, port, username, password } = new URL(proxy);
  const send = protocol === 'https:' ? httpsRequest : httpRequest;
  const target = `${host.hostname}:${host.port === '' ? (host.protocol === 'http:' ? 80 : 443) : host.port}`;
  const headers =
    username === ''
      ? {}
      : {
          'Proxy-Authorization': `Basic ${Buffer.from(
            `${decodeURIComponent(username)}:${decodeURIComponent(password)}`,
          ).toString('base64')}`,
        };
  return send({ hostname, port, method: 'CONNECT', path: target, headers });
}

/** npm puts the .bin folders on PATH for a package's scripts; started by hand they are missing. */
function searchPath(packagePath) {
  const folders = [];
  for (let folder = packagePath; folder !== dirname(folder); folder = dirname(folder)) {
    folders.push(join(folder, 'node_modules', '.bin'));
  }
  return [...folders, process.env['PATH'] ?? ''].join(delimiter);
}
