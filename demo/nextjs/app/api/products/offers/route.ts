import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.product.findMany({ take: 10, where: { discount: { gt: 10 } } }));
}
