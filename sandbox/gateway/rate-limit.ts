/** How long a request counts, in ms: the limits are requests a second (docs.stripe.com/rate-limits). */
const windowMs = 1000;

/** Lets in so many requests of any one second, and counts those it turned away. Without a limit it lets in all. */
export class RateLimit {
  private perSecond: number | null = null;
  private letIn: number[] = [];
  /** Requests turned away since the sandbox started. */
  refused = 0;

  /** Null ends the limit. Requests of the last second count towards the new one. */
  set(perSecond: number | null): void {
    this.perSecond = perSecond;
  }

  /** False when the request is one too many. */
  admits(): boolean {
    const now = Date.now();
    this.letIn = this.letIn.filter((at) => at > now - windowMs);
    if (this.perSecond !== null && this.letIn.length >= this.perSecond) {
      this.refused += 1;
      return false;
    }
    this.letIn.push(now);
    return true;
  }
}
