import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.purchase.findMany({ take: 20, orderBy: { id: "desc" }, include: { product: true, customer: true } }));
}
