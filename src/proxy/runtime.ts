// What the parts of one proxy share: who it is, its current tables and credentials, its recorder and pools.
import type { Credentials } from './credentials.ts';
import type { Deadlines } from './deadlines.ts';
import type { Joins } from './joins.ts';
import type { RateLimits } from './rate-limit.ts';
import type { Recorder } from './record.ts';
import type { RequestMemory } from './request-memory.ts';
import type { Revoked } from './revoked.ts';
import type { Routes } from './route/template.ts';
import type { Tables } from './tables.ts';
import type { Tap } from './tap.ts';
import type { Clusters } from './upstream/cluster.ts';
import type { Pool } from './upstream/pool.ts';

export interface Runtime {
  readonly service: string;
  readonly instance: string;
  readonly credentials: Credentials;
  readonly recorder: Recorder;
  readonly routes: Routes;
  readonly pool: Pool;
  readonly memory: RequestMemory;
  readonly clusters: Clusters;
  readonly deadlines: Deadlines;
  readonly limits: RateLimits;
  readonly joins: Joins;
  readonly revoked: Revoked;
  readonly tap: Tap;
  /** The one swapped reference; undefined until the first snapshot. */
  tables: Tables | undefined;
  draining: boolean;
  /** One line for the proxy's log. */
  log(line: string): void;
}
