// The driver that reaches PostgreSQL is required from node_modules, not bundled: it has a native addon.
export default {
    serverExternalPackages: ["pg", "pg-native"],
    turbopack: { root: import.meta.dirname },
    devIndicators: false,
};
