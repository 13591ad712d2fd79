/**
 * The workflow code of an earlier build: a history that was written today must replay there too, or nobody can roll back
 * while attempts are open.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { projectRoot } from '../dev/project';

const run = promisify(execFile);

/** Sources of this project with their history are far below this, in bytes. */
const archiveBytes = 256 * 1024 * 1024;

async function git(...args: readonly string[]): Promise<Buffer> {
  const { stdout } = await run('git', ['-C', projectRoot, ...args], {
    encoding: 'buffer',
    maxBuffer: archiveBytes,
  });
  return stdout;
}

/** The commit before the last one that changed the workflows. @throws where there is no git, or not so much history */
async function lastOther(): Promise<string> {
  const changed = (await git('log', '-1', '--format=%H', '--', 'src/workflows')).toString().trim();
  return (await git('rev-parse', '--short', `${changed}^`)).toString().trim();
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
 * @param commit by default the one before the last that changed the workflows
 * @throws Error where git does not know it: a copy without its history has no earlier build
 */
export async function buildPrevious(commit?: string): Promise<PreviousBuild> {
  const build = commit ?? (await lastOther());
  const parent = join(projectRoot, '.payfirst');
  mkdirSync(parent, { recursive: true });
  // Inside the project, so that its packages are found.
  const folder = mkdtempSync(join(parent, 'previous-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
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
