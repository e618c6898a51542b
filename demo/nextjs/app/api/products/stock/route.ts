import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.product.findMany({ where: { stock: { lt: 5 } }, select: { id: true, stock: true } }));
}
