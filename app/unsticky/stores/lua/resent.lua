-- For a resend: the caller may wait until replicas have the result, and Valkey waits for what a call wrote.
redis.call('PEXPIRE', operation, math.max(redis.call('PTTL', operation), 1))
