import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.customer.groupBy({ by: "city", _count: true }));
}
