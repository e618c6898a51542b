import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.purchase.findMany({ take: 20, where: { paid: false } }));
}
