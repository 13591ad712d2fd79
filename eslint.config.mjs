// Typed lint, and the import table of the house: who may import whom. Each rule's message says which rule it guards.
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

/** Forbids imports by pattern. `types: true` lets `import type` pass. */
const forbid = (...bans) => ({
  '@typescript-eslint/no-restricted-imports': [
    'error',
    {
      patterns: bans.map(({ from, why, types = false }) => ({
        regex: from,
        message: why,
        ...(types ? { allowTypeImports: true } : {}),
      })),
    },
  ],
});

const up = String.raw`^\.\.?/(\.\./)*`;
const bans = {
  database: {
    from: `${up}database$`,
    why: 'Only activities, the API and processes read the database: a workflow or gateway must not.',
  },
  config: {
    from: `${up}config$`,
    why: 'Settings are read by the processes and passed in; nobody else reads the environment.',
    types: true,
  },
  activities: {
    from: `${up}activities(/|$)`,
    why: 'Workflows know what an activity promises, never how: import its type only.',
    types: true,
  },
  anyActivities: {
    from: `${up}activities(/|$)`,
    why: 'Only the worker builds activities; the API and gateways never call them.',
  },
  gateways: {
    from: `${up}gateways(/|$)`,
    why: 'The story must not learn a gateway’s name: import its types only.',
    types: true,
  },
  noGateways: {
    from: `${up}gateways/(?!gateway$)`,
    why: 'The API uses gateways to verify webhooks, through the interface it is given.',
    types: true,
  },
  api: { from: `${up}api(/|$)`, why: 'Nothing is built on top of the API; it is the outermost layer.' },
  workflows: {
    from: `${up}workflows/(?!messages$)`,
    why: 'Workflows are started by name: import only workflows/messages from there.',
    types: true,
  },
  workflowsIndex: {
    from: `${up}workflows$`,
    why: 'Workflows are started by name: import only workflows/messages from there.',
  },
  anyWorkflows: {
    from: `${up}workflows(/|$)`,
    why: 'A gateway knows payments; what asks for them it must not know.',
  },
  telemetry: {
    from: `${up}telemetry$`,
    why: 'Workflows log through the SDK, which is silent on replay; telemetry writes to the process.',
  },
  notices: {
    from: `${up}notices$`,
    why: 'Notices are told after a commit, by activities and the API: a workflow or gateway commits nothing.',
  },
  payloads: {
    from: `${up}payloads$`,
    why: 'Only the processes, which open clients and workers, need the payload codec.',
  },
  sandbox: {
    from: `${up}(sandbox|dev|test|bench|chaos)(/|$)`,
    why: 'What runs in production never depends on stand-ins, tools or tests.',
  },
  node: {
    from: '^(node:|fs$|path$|crypto$|http$)',
    why: 'A workflow must be deterministic: no Node modules.',
  },
  stripe: { from: '^stripe$', why: 'Nothing but gateways/stripe*.ts speaks Stripe.' },
  express: { from: '^express$', why: 'HTTP belongs to the API.' },
  knex: { from: '^(knex|pg)$', why: 'SQL belongs to the activities and the API’s reads.' },
  outside: { from: `${up}`, why: 'The vocabulary is pure: it imports nothing.' },
};

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', '.payfirst/', 'test/histories/'] },
  {
    files: ['**/*.{js,mjs}'],
    extends: [tseslint.configs.recommended],
    rules: { '@typescript-eslint/no-require-imports': 'off' },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      // A promise-returning function may have nothing to wait for yet: the interface asks for the promise.
      '@typescript-eslint/require-await': 'off',
      // Numbers read well inside log lines and SQL-free texts.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      // Express knows an error handler by its four parameters, used or not.
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      eqeqeq: 'error',
      'max-lines': ['error', { max: 400 }],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // Answers of a server under test are JSON of any shape: the expectations are their type check. Jest's own matchers
      // (`expect.any`) are `any`, too.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      // The stripe package types an id that may be expanded as `string | object`; here it never is.
      '@typescript-eslint/no-base-to-string': 'off',
    },
  },
  { files: ['src/**/*.ts'], rules: forbid(bans.sandbox) },
  // Of several settings of one rule the last one counts, so what is stricter comes later.
  { files: ['src/booking.ts', 'src/failures.ts'], rules: forbid(bans.outside) },
  {
    files: ['src/worker.ts', 'src/migrate.ts'],
    rules: forbid(bans.sandbox, bans.workflows, bans.workflowsIndex, bans.stripe),
  },
  {
    files: ['src/workflows/**/*.ts'],
    rules: forbid(
      bans.sandbox,
      bans.database,
      bans.activities,
      bans.gateways,
      bans.api,
      bans.config,
      bans.telemetry,
      bans.payloads,
      bans.notices,
      bans.node,
      bans.stripe,
      bans.express,
      bans.knex,
    ),
  },
  {
    files: ['src/activities/**/*.ts'],
    rules: forbid(
      bans.sandbox,
      bans.workflows,
      bans.workflowsIndex,
      bans.api,
      bans.config,
      bans.payloads,
      bans.stripe,
      bans.express,
    ),
  },
  {
    files: ['src/gateways/**/*.ts'],
    ignores: ['src/gateways/stripe*.ts'],
    rules: forbid(
      bans.sandbox,
      bans.database,
      bans.anyWorkflows,
      bans.anyActivities,
      bans.api,
      bans.config,
      bans.payloads,
      bans.notices,
      bans.stripe,
      bans.express,
      bans.knex,
    ),
  },
  {
    files: ['src/gateways/stripe*.ts'],
    rules: forbid(
      bans.sandbox,
      bans.database,
      bans.anyWorkflows,
      bans.anyActivities,
      bans.api,
      bans.config,
      bans.payloads,
      bans.notices,
      bans.express,
      bans.knex,
    ),
  },
  {
    files: ['src/api/**/*.ts'],
    ignores: ['src/api/main.ts'],
    rules: forbid(
      bans.sandbox,
      bans.workflows,
      bans.workflowsIndex,
      bans.anyActivities,
      bans.noGateways,
      bans.config,
      bans.payloads,
      bans.stripe,
    ),
  },
  {
    files: ['src/api/main.ts'],
    rules: forbid(bans.sandbox, bans.workflows, bans.workflowsIndex, bans.anyActivities, bans.stripe),
  },
  prettier,
);
