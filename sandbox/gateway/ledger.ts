/**
 * The money of one currency. `kept` is what the merchant has and has not promised back: captured - refunded - refundsPending -
 * disputed; what counts as disputed is each gateway's own.
 */
export interface Totals {
  captured: number;
  refunded: number;
  refundsPending: number;
  disputed: number;
  kept: number;
}
