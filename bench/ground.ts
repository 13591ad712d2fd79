/** What the sides of a measurement stand on, for as long as it takes: one PostgreSQL and one production Temporal server. */
import { startPostgres, type Postgres } from '../dev/postgres';
import type { Processes } from '../dev/processes';
import { findProductionTemporal, startProductionTemporal } from '../dev/temporal-production';
import { say, withProcesses } from './program';

export interface Ground {
  processes: Processes;
  postgres: Postgres;
  temporalAddress: string;
}

/** Lays the ground, measures, and leaves nothing behind. */
export async function onGround(measure: (ground: Ground) => Promise<void>): Promise<void> {
  await withProcesses(async (processes) => {
    const programs = await findProductionTemporal(say);
    // The stamps of commits are what bookings are timed by.
    const postgres = await startPostgres(processes, { settings: ['track_commit_timestamp=on'] });
    const { address } = await startProductionTemporal(processes, programs, postgres);
    await measure({ processes, postgres, temporalAddress: address });
  });
}

/** The processes that stand on the ground with every side. */
export const groundPids = ({ processes }: Ground): Record<string, number> => ({
  postgres: processes.pid('postgres') ?? 0,
  temporal: processes.pid('temporal') ?? 0,
});
