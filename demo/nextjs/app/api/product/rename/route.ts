import { db } from "@/lib/db";

export async function POST(request: Request) {
    const id = Number(new URL(request.url).searchParams.get("id"));
    return Response.json(await db.$transaction([
        db.product.findUniqueOrThrow({ where: { id } }),
        db.product.update({ where: { id }, data: { name: `product ${id}` } }),
    ]));
}
