/**
 * onnxruntime 1.30 writes a log of its own into the temporary folder in every process and has a client
 * that sends usage to Microsoft; nobody who runs drq has asked for either. To be imported before it, and
 * by whoever starts threads: theirs is a copy of the environment that native code does not see.
 */
process.env['ORT_DISABLE_TELEMETRY'] ??= '1';
