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
  readonly #gauges = new Map<string, { atMs: number; gauges: Gauges }>();

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
    this.#gauges.set(instance, { atMs, gauges });
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
      const gauge = this.#gauges.get(instance);
      return {
        service,
        instance,
        cpuPercent: fresh ? (this.#cpuPercent.get(instance) ?? null) : null,
        memoryBytes: fresh ? reading.sample.memoryBytes : null,
        inFlight: gauge !== undefined && nowMs - gauge.atMs < STALE_MS ? gauge.gauges.inFlight : null,
        ready: state === 'ready',
      };
    });
  }

  /** How many proxies sent counters lately. */
  answered(instances: readonly InstanceState[], nowMs: number): number {
    return instances.filter(({ instance }) => nowMs - (this.#gauges.get(instance)?.atMs ?? 0) < STALE_MS).length;
  }
}
