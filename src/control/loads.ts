// The newest saturation readings: processes of services (from the supervisor), requests in flight (from their proxies).
import type { Gauges, InstanceState, ResourceSample } from '../mesh/messages.ts';
import type { InstanceLoad } from '../signals/golden.ts';

/** A reading older than this says nothing about now. */
const STALE_MS = 5000;

interface Reading {
  readonly atMs: number;
  readonly sample: ResourceSample;
}

export class Loads {
  readonly #last = new Map<string, Reading>();
  readonly #cpuPercent = new Map<string, number>();
  readonly #gauges = new Map<string, { atMs: number; gauges: Gauges; proxyCpuPercent: number | null }>();

  addResources(samples: readonly ResourceSample[], atMs: number): void {
    for (const sample of samples) {
      const before = this.#last.get(sample.instance);
      // A restarted service begins again at zero: no rate from that pair.
      if (before !== undefined && atMs > before.atMs && sample.cpuMs >= before.sample.cpuMs) {
        this.#cpuPercent.set(sample.instance, ((sample.cpuMs - before.sample.cpuMs) / (atMs - before.atMs)) * 100);
      } else this.#cpuPercent.delete(sample.instance);
      this.#last.set(sample.instance, { atMs, sample });
    }
  }

  addGauges(instance: string, gauges: Gauges, atMs: number): void {
    const before = this.#gauges.get(instance);
    // A restarted proxy begins again at zero.
    const spent = before === undefined ? -1 : gauges.cpuMs - before.gauges.cpuMs;
    const proxyCpuPercent =
      before === undefined || spent < 0 || atMs <= before.atMs ? null : Math.round((spent / (atMs - before.atMs)) * 1000) / 10;
    this.#gauges.set(instance, { atMs, gauges, proxyCpuPercent });
  }

  gaugesOf(instance: string): Gauges | undefined {
    return this.#gauges.get(instance)?.gauges;
  }

  forget(instance: string): void {
    this.#last.delete(instance);
    this.#cpuPercent.delete(instance);
    this.#gauges.delete(instance);
  }

  of(instances: readonly InstanceState[], nowMs: number): InstanceLoad[] {
    return instances.map(({ service, instance, state }) => {
      const reading = this.#last.get(instance);
      const fresh = reading !== undefined && nowMs - reading.atMs < STALE_MS;
      const held = this.#gauges.get(instance);
      const gauge = held !== undefined && nowMs - held.atMs < STALE_MS ? held : undefined;
      return {
        service,
        instance,
        cpuPercent: fresh ? (this.#cpuPercent.get(instance) ?? null) : null,
        memoryBytes: fresh ? reading.sample.memoryBytes : null,
        inFlight: gauge?.gauges.inFlight ?? null,
        cpuLimitPercent: fresh ? (reading.sample.cpuLimitPercent ?? null) : null,
        memoryLimitBytes: fresh ? (reading.sample.memoryLimitBytes ?? null) : null,
        openConnections: gauge?.gauges.openConnections ?? null,
        queued: gauge?.gauges.queued ?? null,
        queueLimit: gauge?.gauges.queueLimit ?? null,
        circuitPercent: gauge === undefined ? null : Math.round(gauge.gauges.circuit * 1000) / 10,
        proxyLoopPercent: gauge === undefined ? null : Math.round(gauge.gauges.eventLoopUtilization * 1000) / 10,
        proxyCpuPercent: gauge?.proxyCpuPercent ?? null,
        proxyMemoryBytes: gauge?.gauges.memoryBytes ?? null,
        ready: state === 'ready',
      };
    });
  }

  /** How many proxies sent counters lately. */
  answered(instances: readonly InstanceState[], nowMs: number): number {
    return instances.filter(({ instance }) => nowMs - (this.#gauges.get(instance)?.atMs ?? 0) < STALE_MS).length;
  }
}
