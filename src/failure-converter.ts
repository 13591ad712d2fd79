/** Moves the messages and stacks of failures into a payload, so that the codec seals them too. Loaded by path, also into the workflow bundle. */
import { DefaultFailureConverter } from '@temporalio/common';

export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
