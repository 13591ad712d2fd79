/** Where things are: the project's own folder, and the cache outside of it. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** Tells a person what is going on: one line, without a line end. */
export type Progress = (line: string) => void;

/** The folder of `package.json`. Found by walking up, since this file also runs from `dist/`. */
export const projectRoot = ((): string => {
  let folder = __dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`No package.json above ${__dirname}.`);
    folder = parent;
  }
  return folder;
})();

/**
 * The folder for what is costly to make and shared by every checkout of this user (the built Temporal CLI):
 * `PAYFIRST_CACHE`, else `$XDG_CACHE_HOME/payfirst`, else `~/.cache/payfirst`. Not made by this function.
 */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const { PAYFIRST_CACHE: own, XDG_CACHE_HOME: xdg } = env;
  if (own) return own;
  return join(xdg || join(homedir(), '.cache'), 'payfirst');
}
