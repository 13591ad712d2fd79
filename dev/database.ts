/** The database of a stack as a deployer would make it: the application owns it, and reads use a role that cannot write. */
import { randomBytes } from 'node:crypto';
import { runSql, type Postgres } from './postgres';

const APPLICATION_ROLE = 'payfirst';
const READONLY_ROLE = 'payfirst_readonly';

/** Makes the database `payfirst` and its two roles, with a password of their own. */
export async function makeDatabase(postgres: Postgres): Promise<{ url: string; readonlyUrl: string }> {
  const password = randomBytes(18).toString('base64url');
  const as = (role: string): string => {
    const url = new URL(postgres.url('payfirst'));
    url.username = role;
    url.password = password;
    return url.href;
  };
  await runSql(
    postgres.adminUrl,
    `create role ${APPLICATION_ROLE} login password '${password}';
     create role ${READONLY_ROLE} login password '${password}';`,
  );
  await postgres.createDatabase('payfirst');
  await runSql(postgres.adminUrl, `alter database payfirst owner to ${APPLICATION_ROLE}`);
  return { url: as(APPLICATION_ROLE), readonlyUrl: as(READONLY_ROLE) };
}
