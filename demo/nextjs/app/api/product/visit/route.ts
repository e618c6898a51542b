import { db } from "@/lib/db";

export async function POST(request: Request) {
    const id = Number(new URL(request.url).searchParams.get("id"));
    return Response.json(await db.product.update({ where: { id }, data: { views: { increment: 1 } } }));
}
