/** The bundle's entry: every workflow by the name Temporal knows it under. */
export { book } from './book';
export { cancel, cancelOffering } from './cancel';
export { attendCase } from './cases';
export { compare } from './compare';
export { reconcile } from './reconcile';
export { courier, paymentWatch } from './standing';
