/**
 * Builds beside `dist`, for one run: a copy of it with a safety switched off, and the workflow code of an earlier commit, for
 * a history that was written today must replay there too, or nobody can roll back while attempts are open.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { projectRoot } from '../dev/project';

const run = promisify(execFile);

/** A folder of its own. It goes with this process at the latest, also when a signal ends a run. */
interface Build {
  folder: string;
  remove: () => void;
}

function makeFolder(prefix: string): Build {
  // Inside the project, so that its packages are found.
  const parent = join(projectRoot, '.payfirst');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, prefix));
  const remove = (): void => {
    process.off('exit', remove);
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', remove);
  return { folder, remove };
}

/** A text in a compiled file, and what stands there instead. */
export interface Change {
  /** Under `dist`. */
  file: string;
  from: string;
  to: string;
}

/**
 * Makes the build of a control.
 * @throws Error where a text to replace does not stand exactly once: the control would prove nothing
 */
export function buildControl(name: string, changes: readonly Change[]): Build {
  const { folder, remove } = makeFolder(`control-${name}-`);
  cpSync(join(projectRoot, 'dist'), folder, { recursive: true });
  for (const { file, from, to } of changes) {
    const path = join(folder, file);
    const parts = readFileSync(path, 'utf8').split(from);
    if (parts.length !== 2) {
      remove();
      throw new Error(`${file} holds ${parts.length - 1} times: ${from}`);
    }
    writeFileSync(path, parts.join(to));
  }
  return { folder, remove };
}

/** Sources of this project with their history are far below this, in bytes. */
const archiveBytes = 256 * 1024 * 1024;

async function git(...args: readonly string[]): Promise<Buffer> {
  const { stdout } = await run('git', ['-C', projectRoot, ...args], {
    encoding: 'buffer',
    maxBuffer: archiveBytes,
  });
  return stdout;
}

const lineOf = async (...args: readonly string[]): Promise<string> => (await git(...args)).toString().trim();

/** Sources of the workflow bundle; of whatever else they name, they import types only. */
const bundled = ['src/workflows', 'src/booking.ts', 'src/failure-converter.ts'];

/** The last commit whose workflow code is another than this build's. @throws where there is no git, or not so much history */
async function lastOther(): Promise<string> {
  const edited = await lineOf('status', '--porcelain', '--', ...bundled);
  if (edited !== '') return lineOf('rev-parse', '--short', 'HEAD');
  const changed = await lineOf('log', '-1', '--format=%H', '--', ...bundled);
  return lineOf('rev-parse', '--short', `${changed}^`);
}

/** A build of an earlier commit. */
export interface PreviousBuild {
  /** The commit. */
  build: string;
  /** Path of its workflow bundle. */
  bundle: string;
  remove: () => void;
}

/**
 * Bundles the workflows as they were.
 * @param commit by default the last whose workflow code is another
 * @throws Error where git does not know it: a copy without its history has no earlier build
 */
export async function buildPrevious(commit?: string): Promise<PreviousBuild> {
  const build = commit ?? (await lastOther());
  const { folder, remove } = makeFolder('previous-');
  try {
    const archive = join(folder, 'sources.tar');
    writeFileSync(archive, await git('archive', build, 'src'));
    await run('tar', ['-xf', archive, '-C', folder]);
    const { code } = await bundleWorkflowCode({
      workflowsPath: join(folder, 'src', 'workflows', 'index.ts'),
      failureConverterPath: join(folder, 'src', 'failure-converter.ts'),
      logger: new DefaultLogger('WARN'),
    });
    const bundle = join(folder, 'workflow-bundle.js');
    writeFileSync(bundle, code);
    return { build, bundle, remove };
  } catch (error) {
    remove();
    throw error;
  }
}
