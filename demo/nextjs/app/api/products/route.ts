import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.product.findMany({ take: 20, orderBy: { id: "asc" }, include: { brand: true } }));
}
