// Processes by pid *and* start time, so that a reused pid is never mistaken; CPU and memory of a process group.
// Linux reads /proc; elsewhere `ps` gives identity, and saturation is not available.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessRecord {
  readonly pid: number;
  /** Opaque: equal for the same process, different for another one with the same pid. */
  readonly startTime: string;
}

// USER_HZ, which Linux keeps at 100 towards programs whatever the kernel was built with (proc(5)).
const TICKS_PER_SECOND = 100;
/** Generations of processes that are looked through. */
const MAX_DEPTH = 50;

interface Stat {
  readonly state: string;
  readonly group: number;
  readonly parent: number;
  readonly cpuMs: number;
  readonly startTime: string;
}

function readStat(pid: number | string): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The command stands in parentheses and may hold anything; the fields after the last one are plain (proc(5), from field 3).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (field: number): number => Number(fields[field - 3]);
  return {
    state: fields[0] ?? '',
    group: number(5),
    parent: number(4),
    cpuMs: ((number(14) + number(15) + number(16) + number(17)) * 1000) / TICKS_PER_SECOND,
    startTime: fields[22 - 3] ?? '',
  };
}

/** Whether a process is of a process group, or descends from its leader. Linux; false elsewhere. */
export function belongsTo(pid: number, group: number): boolean {
  if (process.platform !== 'linux') return false;
  for (let each = pid, i = 0; each > 1 && i < MAX_DEPTH; i++) {
    const stat = readStat(each);
    if (stat === undefined) return false;
    if (each === group || stat.group === group) return true;
    each = stat.parent;
  }
  return false;
}

/** When the process with this pid started; undefined when there is none (a zombie is none). */
export function startTimeOf(pid: number): string | undefined {
  if (process.platform === 'linux') {
    const stat = readStat(pid);
    return stat === undefined || stat.state === 'Z' ? undefined : stat.startTime;
  }
  try {
    return (
      execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() ||
      undefined
    );
  } catch {
    return undefined;
  }
}

export function recordOf(pid: number): ProcessRecord {
  return { pid, startTime: startTimeOf(pid) ?? '' };
}

export function isAlive(record: ProcessRecord): boolean {
  return record.startTime !== '' && startTimeOf(record.pid) === record.startTime;
}

export interface GroupUsage {
  readonly cpuMs: number;
  readonly memoryBytes: number;
  readonly processes: number;
}

/** Usage of several process groups with one walk over /proc; undefined where the platform does not tell. */
export function usageOfGroups(groups: ReadonlySet<number>): Map<number, GroupUsage> | undefined {
  if (process.platform !== 'linux') return undefined;
  const usage = new Map<number, GroupUsage>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = readStat(entry);
    if (stat === undefined || !groups.has(stat.group)) continue;
    const sum = usage.get(stat.group);
    usage.set(stat.group, {
      cpuMs: (sum?.cpuMs ?? 0) + stat.cpuMs,
      memoryBytes: (sum?.memoryBytes ?? 0) + residentBytes(entry),
      processes: (sum?.processes ?? 0) + 1,
    });
  }
  return usage;
}

// In KiB whatever the page size; 0 for a process that has just ended.
function residentBytes(pid: string): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** What the cgroup (version 2) of a process allows; missing where nothing limits it. CPU: 100 is one core. */
export function limitsOf(pid: number): { cpuLimitPercent?: number; memoryLimitBytes?: number } {
  try {
    const path = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '/';
    const read = (file: string): string => readFileSync(`/sys/fs/cgroup${path}/${file}`, 'utf8').trim();
    const [quota = 'max', period = '100000'] = attempt(() => read('cpu.max'))?.split(' ') ?? [];
    const memory = attempt(() => read('memory.max')) ?? 'max';
    return {
      ...(quota === 'max' ? {} : { cpuLimitPercent: (Number(quota) / Number(period)) * 100 }),
      ...(memory === 'max' ? {} : { memoryLimitBytes: Number(memory) }),
    };
  } catch {
    return {};
  }
}

function attempt(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Sends a signal to a process group (`group` true) or process; false when it is gone. */
export function signal(pid: number, name: NodeJS.Signals, group: boolean): boolean {
  try {
    process.kill(group ? -pid : pid, name);
    return true;
  } catch {
    return false;
  }
}

/** The variable that marks every process of a mesh, and what they start in turn, with its state directory. */
export const OWNER = 'MESHCTL_OWNER';

/** Processes marked with this owner, this one apart. Linux only; elsewhere an empty list. */
export function processesOf(owner: string): ProcessRecord[] {
  if (process.platform !== 'linux') return [];
  const wanted = `\0${OWNER}=${owner}\0`;
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .filter((entry) => {
      try {
        return `\0${readFileSync(`/proc/${entry}/environ`, 'utf8')}`.includes(wanted);
      } catch {
        // Gone, or somebody else's.
        return false;
      }
    })
    .map((entry) => recordOf(Number(entry)));
}

/** Ends a recorded process: SIGTERM, and SIGKILL after the grace. Resolves when it is gone. */
export async function endProcess(record: ProcessRecord, group: boolean, graceMs: number): Promise<void> {
  if (!isAlive(record)) return;
  signal(record.pid, 'SIGTERM', group);
  const killAt = Date.now() + graceMs;
  let killed = false;
  while (isAlive(record)) {
    if (!killed && Date.now() >= killAt) {
      signal(record.pid, 'SIGKILL', group);
      killed = true;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
