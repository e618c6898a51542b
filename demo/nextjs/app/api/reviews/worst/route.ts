import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.review.findMany({ take: 10, where: { stars: 1 }, include: { product: true } }));
}
