/** Counts the calls a connection to Temporal has under way, those that wait to be tried again included. */
import {
  defaultGrpcRetryOptions,
  makeGrpcRetryInterceptor,
  type ConnectionOptions,
} from '@temporalio/client';

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];

export interface PendingCalls {
  /** For `Connection.connect`; the client's own retries stay inside. */
  interceptors: Interceptor[];
  /** How many are under way. */
  count(): number;
}

/**
 * Makes the counter of one connection. A call that is tried again after its connection was closed throws from a timer,
 * where nobody can catch it: so a connection is closed when none is left.
 */
export function countPendingCalls(): PendingCalls {
  let pending = 0;
  const counting: Interceptor = (options, nextCall) => {
    const call = nextCall(options);
    const start = call.start.bind(call);
    call.start = (metadata, listener) => {
      pending += 1;
      start(metadata, {
        ...listener,
        onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
        onReceiveMessage: (message: unknown) => listener?.onReceiveMessage?.(message),
        onReceiveStatus: (status) => {
          pending -= 1;
          listener?.onReceiveStatus?.(status);
        },
      });
    };
    return call as ReturnType<Interceptor>;
  };
  return {
    interceptors: [counting, makeGrpcRetryInterceptor(defaultGrpcRetryOptions())],
    count: () => pending,
  };
}
