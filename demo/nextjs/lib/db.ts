import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./generated/client";

// One client for the whole application, one would think. Each route that is compiled has this module once,
// and each hot reload makes it anew; the clients before stay as they are, with the connections they have.
console.log("lib/db.ts: a database client");

export const db = new PrismaClient({ adapter: new PrismaPg({}) });
