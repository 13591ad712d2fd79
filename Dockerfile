# One image for the three production processes: API (the default command), worker and migrate.

# Debian, not Alpine: the Temporal SDK's native part needs glibc.
FROM node:20.20.2-bookworm-slim AS node

# Compiles, and bundles the workflows.
FROM node AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY dev/prepare.mjs dev/
RUN node dev/prepare.mjs --no-build
COPY tsconfig.json tsconfig.build.json ./
COPY migrations migrations
COPY src src
RUN node dev/prepare.mjs --build

# Only what runs.
FROM node AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node
ENV NODE_ENV=production
WORKDIR /app
# Owned by root, run by node: the process cannot change its own code.
COPY --from=packages /app/node_modules node_modules
COPY --from=build /app/dist/migrations dist/migrations
COPY --from=build /app/dist/src dist/src
COPY --from=build /app/dist/workflow-bundle.js dist/
COPY package.json ./
USER node
EXPOSE 3000 9464
CMD ["node", "--enable-source-maps", "dist/src/api/main.js"]
