import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.purchase.groupBy({ by: "product_id", _sum: { amount: true }, orderBy: { _sum: { amount: "desc" } }, take: 10 }));
}
