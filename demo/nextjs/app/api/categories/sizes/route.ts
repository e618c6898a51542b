import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.product.groupBy({ by: "category_id", _count: true }));
}
