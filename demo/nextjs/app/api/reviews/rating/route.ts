import { db } from "@/lib/db";

export async function GET() {
    return Response.json(await db.review.aggregate({ _avg: { stars: true }, _count: true }));
}
